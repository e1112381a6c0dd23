// Package simulation explores the rotation protocol exhaustively: all orders of
// the calls of several processes, with every fate of every call, an operator's
// acts and late effects in between, within stated budgets. It drives the real
// code, [rotator.Rotator.Rotate] with the reading and deciding before it
// ([rotator.Plan]), [rotator.Rotator.Add] and [rotator.Rotator.Reseal]; nothing of
// the protocol is written a second time here. Only tests use it.
//
// # How it runs
//
// A process is a coroutine that is held in each outside call: read, write,
// knows, set password, proof. A schedule says who goes on and what becomes of
// the call. A step is a call's effect and what its process then does up to its
// next call, since it sees and does nothing in between. States are explored
// breadth first by replaying, so a violation comes with the shortest schedule
// that leads to it. States that are equal in all that matters from there on are
// followed once: the world, the budgets, and of each process a hash of all that
// it was told, since its code is deterministic.
//
// # The world
//
//   - Vault is one record of KV v2: a write lands if and only if its version is
//     the newest. A soft delete leaves that number in force; without metadata a
//     write is forbidden, as the shipped policy has it. Ten versions are kept.
//   - Mailu holds one password. Setting it is idempotent; the last one wins. Or it
//     has no such user, whom an addition creates.
//   - There may be no record at first, which an addition makes.
//   - A call goes well; fails before its effect or after; is answered when the
//     claim is over; fails, with the effect landing at any later step (a write
//     still by check-and-set); shows a conflict though it landed; is refused, also
//     after its effect, as by a proxy; is
//     forbidden or rate-limited; or its process dies there, before the effect,
//     after it, or with the request still under way.
//   - A stall takes time beyond every claim while each process stays where it
//     is. No deadline saves the one that is about to push: it pushes late.
//   - Time else moves with pauses, and by a millisecond with each version, which
//     is where the protocol can tell timestamps apart.
//   - Sealing is replaced by a fast envelope that is bound to tenant and
//     last_rotated and unique; a test shows that the real one makes no difference.
//   - A process tries again after more errors than the lane would. Waiting for
//     another's claim is a pause, or the end of the process.
//   - Not in it: several tenants or servers, a server that is not asked for
//     proof, a rotation insisted on, clocks that differ or go back, and repairs.
//
// # What is checked
//
// After every step: Mailu accepts the record's current or pending password, or,
// as long as the record names no current one, what it accepted before;
// fields of others are as they were; nobody makes or writes a second password
// while one is pending; nobody takes a claim that stands; every push is begun
// under a live claim. At rest, when nothing moves any more and one undisturbed
// run has followed after all claims, where a tenant was to be added after the same
// command once more: Mailu accepts the current password, nothing
// is pending, that run had no error, and no more passwords were made than
// rotations asked for.
//
// # Exemptions
//
// Each is counted, in states, and at rest must be healed or be one of the
// limits below.
//
//   - Overdue: a process stopped between beginning a push and its effect, its
//     claim lapsed, others committed and rotated again, and then it pushed. Its
//     own next steps heal that: it proves its password and makes it current.
//   - Stray: the same, where the process had given the request up.
//   - Operator: a person took Mailu's password out of the record (an old copy
//     put back, a new password written over it), or set one in Mailu by hand.
//     That the claim went with the record excuses a push begun without it.
//   - Deleted: a person deleted the metadata. A softly deleted version counts as
//     what Vault holds, because it can be undeleted.
//
// # Limits
//
// What may be left at rest, because no protocol can fence a server that takes
// any write:
//
//   - an overdue push whose process died or met another fault right after it,
//     and a stray one: Mailu then holds an earlier password, which the history of
//     the record still has (checked). Repairing from history or any rotation
//     mends it (the latter is checked);
//   - an operator's password that is only in Vault or only in Mailu, or an old
//     copy put back: any rotation mends it (checked);
//   - a deleted record stays deleted.
//
// An overdue push by a process that goes on undisturbed is always healed; were it
// not, that would be a violation.
//
// # Why there is no TLA+ or Promela model
//
// A model would be a second statement of the protocol, and what it proves would
// hold for the model. The defects that were found here sat in the code's details:
// which answer is taken for success, whether a claim read back may be trusted;
// a model would have had them only by chance. What a model checker would add is
// what these budgets cut off: unboundedly many processes, faults and rotations,
// and liveness under fairness, that every rotation ends at some time. The former
// are small here because the record is the only thing that processes share, and
// after each commit it is again as it was at the beginning; the latter is
// approximated by the undisturbed run from every end. It would find nothing
// about one rotation with two faults, or two processes with one, that this does
// not.
package simulation
