/**
 * Events that were given back to the server and will come again: what is younger must not overtake them.
 *
 * The server sends what was given back in any order, and fresh events in between. So a younger event is given back as
 * well, for as long as an older one of its actor is expected, and is then expected itself. An older one that does not
 * come back has gone to another process, and is not waited for any longer than `graceMs` after its time.
 */
export type GivenBack = {
  /** It will come again at `dueMs`. */
  add(instance: string, sequence: number, dueMs: number): void
  /** It is here. Returns when the last of the older ones that are still expected is due; undefined: it is its turn. */
  arrived(instance: string, sequence: number, nowMs: number): number | undefined
  /** Forgets what did not come. */
  tidy(nowMs: number): void
}

export function openGivenBack(graceMs: number): GivenBack {
  const expected = new Map<string, Map<number, number>>()

  const dropUnless = (
    instance: string,
    isExpected: (sequence: number, dueMs: number) => boolean,
  ) => {
    const events = expected.get(instance)
    if (events === undefined) return
    for (const [sequence, dueMs] of events)
      if (!isExpected(sequence, dueMs)) events.delete(sequence)
    if (events.size === 0) expected.delete(instance)
  }

  return {
    add(instance, sequence, dueMs) {
      const events = expected.get(instance) ?? new Map<number, number>()
      events.set(sequence, dueMs)
      expected.set(instance, events)
    },
    arrived(instance, sequence, nowMs) {
      dropUnless(instance, (other, dueMs) => other !== sequence && nowMs <= dueMs + graceMs)
      const older = [...(expected.get(instance) ?? [])].filter(([other]) => other < sequence)
      return older.length === 0 ? undefined : Math.max(...older.map(([, dueMs]) => dueMs))
    },
    tidy(nowMs) {
      for (const instance of expected.keys()) {
        dropUnless(instance, (_, dueMs) => nowMs <= dueMs + graceMs)
      }
    },
  }
}
