/**
 * Who may have how much of the account's concurrency: a function with a reserved concurrency exactly that, whatever the
 * others do; all others share what the reservations leave.
 * Source: AWS Lambda Developer Guide, "Configuring reserved concurrency for a function"; lambda-semantics.md §3.3.
 */
import type { ThrottleReason } from '../edges/aws/errors.ts'

/** `reason`: what AWS tells who is beyond it. */
export type Allotment = { limit: number; isReserved: boolean; reason: ThrottleReason }

export type Allotments = {
  of(functionName: string): Allotment
  /** What the functions without a reservation share. */
  readonly unreserved: number
  /** Notes a function's reservation; undefined: it has none, or is gone. True when the others' share has changed. */
  note(functionName: string, reserved: number | undefined): boolean
}

export function allotments(accountConcurrency: number): Allotments {
  const reservations = new Map<string, number>()
  let unreserved = accountConcurrency
  return {
    of(functionName) {
      const limit = reservations.get(functionName)
      return limit === undefined
        ? { limit: unreserved, isReserved: false, reason: 'ConcurrentInvocationLimitExceeded' }
        : { limit, isReserved: true, reason: 'ReservedFunctionConcurrentInvocationLimitExceeded' }
    },
    get unreserved() {
      return unreserved
    },
    note(functionName, reserved) {
      if (reservations.get(functionName) === reserved) return false
      if (reserved === undefined) reservations.delete(functionName)
      else reservations.set(functionName, reserved)
      const before = unreserved
      const together = [...reservations.values()].reduce((sum, each) => sum + each, 0)
      unreserved = Math.max(0, accountConcurrency - together)
      return unreserved !== before
    },
  }
}
