/**
 * The control plane's way to the leading stream tracker: one request for each change of an event source mapping.
 *
 * Nobody leads for a moment when a leader has died, so a request that finds nobody is made again. One that was heard and not
 * answered is not: nobody knows what became of it.
 */
import type { Bus, Clock } from '../bus/bus.ts'
import * as subjects from '../bus/subjects.ts'
import type { MappingCommand } from '../machines/mapping.ts'
import type { MappingAnswer } from './mapping-command.ts'

/** Longer than another takes to lead, and together shorter than a front end waits for an operation. */
const INSIST_MS = 5_000
const ANSWER_TIMEOUT_MS = 8_000
const PAUSE_MS = 100

export async function askTracker(
  { bus, clock }: { bus: Bus; clock: Clock },
  command: MappingCommand,
): Promise<MappingAnswer | 'nobody' | 'timeout'> {
  const body = JSON.stringify(command)
  const from = clock.monotonicMs()
  for (;;) {
    const answer = await bus.request(subjects.trackerMapping, body, {
      timeoutMs: ANSWER_TIMEOUT_MS,
    })
    if (answer === 'timeout') return 'timeout'
    if (answer !== 'no responders') return answer.json<MappingAnswer>()
    if (clock.monotonicMs() - from > INSIST_MS) return 'nobody'
    await new Promise<void>((resolve) => clock.setTimer(resolve, PAUSE_MS))
  }
}
