// Package hook runs an operator's programs after events: after a password was replaced,
// when a tenant or a run failed, after a run. Each program gets the event as one JSON
// [Document] on its standard input, never a secret.
//
// It promises:
//
//   - a hook never delays or fails a run: [Runner.Observe] only queues, in
//     bounded memory, and drops and counts what does not fit;
//   - hooks run one at a time, in the order of the events, so that their authors
//     need not handle concurrency;
//   - no shell is involved, and a program inherits nothing of this process's
//     environment, which may hold a token: see [Runner] for what it gets;
//   - at its time limit, and at its end, every process of its group is killed.
//
// The programs are as trusted as this one: they run as the same user. The package
// imports only rotator and knows neither logs nor configuration.
package hook
