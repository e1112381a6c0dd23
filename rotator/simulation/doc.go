// Package simulation explores the rotation protocol exhaustively: all orders of the
// calls of several processes, with every fate of every call, an operator's acts and
// late effects in between, within stated budgets. It drives the real code,
// [rotator.Rotator.Rotate] with the reading and deciding before it ([rotator.Plan]),
// [rotator.Rotator.Add] and [rotator.Rotator.Reseal]; it contains no second
// implementation of the protocol. Only tests use it.
//
// # How it runs
//
// A process is a coroutine that is held in each outside call: read, write, knows, set
// password, proof. A schedule says which process continues and which fate the call has.
// A step is a call's effect and what its process then does up to its next call, since
// it sees and does nothing in between. States are explored breadth first by replaying,
// so the first violation has the shortest schedule. States that are equal in all that
// matters later are followed once; a state is the world, the budgets, and for each
// process a hash of all answers that it received, since its code is deterministic.
//
// # The world
//
//   - Vault is one record of KV v2: a write takes effect if and only if its
//     version is the newest. A soft delete keeps that number; without metadata a
//     write is forbidden, as by the shipped policy. Ten versions are kept.
//   - Mailu holds one password. Setting it is idempotent; the last one wins. Or it
//     has no such user, and an addition creates it.
//   - There may be no record at first, which an addition creates.
//   - A call succeeds; fails before its effect or after; is answered after the
//     claim has expired; fails, with the effect at any later step (a write still
//     by check-and-set); shows a conflict though it took effect; is refused, also
//     after its effect, as by a proxy; is forbidden or rate-limited; or its
//     process dies there, before the effect, after it, or with the request still
//     in transit.
//   - A stall takes longer than every claim while each process stays where it is.
//     No deadline saves a process that is about to push: it pushes late.
//   - Otherwise time advances with pauses, and by a millisecond with each version,
//     which is where the protocol can distinguish timestamps.
//   - Sealing is replaced by a fast envelope that is bound to tenant and
//     last_rotated and unique; a test shows that the real one makes no difference.
//   - A process retries after more errors than a real sweep would. Waiting for
//     another's claim is a pause, or the end of the process.
//   - Not covered: several tenants or servers, a server without verification, an
//     insisted rotation, clocks that differ or go back, and repairs.
//
// # What is checked
//
// After every step: Mailu accepts the record's current or pending password, or, as long
// as the record has no current one, what it accepted before; fields of others are
// unchanged; no process makes or writes a second password while one is pending; no
// process takes a valid claim; every push begins under a valid claim. At rest, when
// nothing moves and one undisturbed run has followed after all claims (for an addition
// after the same command once more): Mailu accepts the current password, nothing is
// pending, that run had no error, and at most as many passwords were made as rotations
// were requested.
//
// # Exemptions
//
// Each is counted, in states, and at rest must be healed or be one of the limits below.
//
//   - Overdue: a process stopped between beginning a push and its effect, its
//     claim expired, others committed and rotated again, and then it pushed. Its
//     own next steps heal that: it verifies its password and makes it current.
//   - Stray: the same, but the process had given up the request.
//   - Operator: a person removed Mailu's password from the record (an old copy
//     restored, a new password written over it), or set one in Mailu by hand.
//     If the claim was lost with the record, a push without it is excused.
//   - Deleted: a person deleted the metadata. A softly deleted version counts as
//     what Vault holds, because it can be undeleted.
//
// # Limits
//
// What may remain at rest, because no protocol can protect a server that accepts any
// write:
//
//   - an overdue push whose process died or met another fault right after it,
//     and a stray one: Mailu then holds an earlier password, which the history of
//     the record still has (checked). A repair from history or any rotation
//     fixes it (the latter is checked);
//   - an operator's password that is only in Vault or only in Mailu, or an old
//     copy restored: any rotation fixes it (checked);
//   - a deleted record stays deleted.
//
// An overdue push by a process that continues undisturbed must always be healed;
// otherwise it is a violation.
//
// # Why there is no TLA+ or Promela model
//
// A model would be a second statement of the protocol, and its proofs would hold only
// for the model. The defects found here were in details of the code: which answer
// counts as success, whether a claim that was read back can be trusted; a model would
// have had them only by chance. A model checker would add what these budgets exclude:
// unboundedly many processes, faults and rotations, and liveness under fairness, that
// every rotation ends at some time. The first matters little because the record is the
// only thing that processes share, and after each commit it is again as at the
// beginning; the second is approximated by the undisturbed run from every end. About
// one rotation with two faults, or two processes with one, a model checker would find
// nothing more.
package simulation
