/**
 * A front end's way to the leading stream tracker: one question for each change of a stream.
 *
 * While nobody leads, nobody hears it, so it is asked again for some seconds. One that was heard and not answered is not: what
 * became of it is not known.
 */
import type { Bus, Clock } from '../bus/bus.ts'
import { trackerStream } from '../bus/subjects.ts'
import type { KinesisRefusal } from '../edges/aws/kinesis-errors.ts'
import type { StreamCommand, StreamRecord } from '../machines/stream.ts'

/** Null: there is no such stream any more. */
export type TrackerAnswer = { record: StreamRecord | null } | KinesisRefusal

/** A leader that dies is replaced within it, and within the least lease of one. */
const INSIST_MS = 10_000
const PAUSE_MS = 100
/** It answers when the change is stored, and does what takes long behind it. */
const ANSWER_TIMEOUT_MS = 10_000

/** `undefined`: nobody leads, or nobody knows what became of it. */
export async function askTracker(
  { bus, clock }: { bus: Pick<Bus, 'request'>; clock: Clock },
  command: StreamCommand,
): Promise<TrackerAnswer | undefined> {
  const body = JSON.stringify(command)
  const deadlineMs = clock.monotonicMs() + INSIST_MS
  for (;;) {
    const answer = await bus.request(trackerStream, body, { timeoutMs: ANSWER_TIMEOUT_MS })
    if (typeof answer === 'object') return answer.json<TrackerAnswer>()
    if (answer === 'timeout' || clock.monotonicMs() >= deadlineMs) return undefined
    await new Promise<void>((resolve) => clock.setTimer(resolve, PAUSE_MS))
  }
}
