// Package hook runs an operator's programs when something happened: after a
// password was replaced, when a tenant or a run failed, after a run. Each gets
// the event as one JSON [Document] on its standard input, never a secret.
//
// It promises:
//
//   - a hook never delays or fails a run: [Runner.Observe] only queues, in
//     bounded memory, and what does not fit is dropped and counted;
//   - hooks run one at a time, in the order of the events, so that their authors
//     need not think of two at once;
//   - no shell is involved, and a program gets nothing of this one's
//     environment, which may hold a token: see [Runner] for what it gets;
//   - at its time limit, and at its end, nothing of its process group is left.
//
// The programs are as trusted as this one: they run as the same user. The
// package imports rotator alone and knows neither logs nor configuration.
package hook
