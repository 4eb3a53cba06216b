/**
 * An answer that goes on: SubscribeToShard's events, each one a message of AWS's event stream encoding.
 *
 *     initial-response ─▶ event* ─▶ the end, or an exception
 *
 * What the client does not read is not asked for: the backend is paused until it does. When the client goes, the backend is
 * told to stop. Source: Smithy specification, "Amazon Event Stream Specification"; Kinesis API, SubscribeToShard.
 */
import type { ServerResponse } from 'node:http'
import { eventMessage } from './aws/event-stream.ts'
import type { KinesisRefusal } from './aws/kinesis-errors.ts'
import { kinesisOperations } from './aws/kinesis-operations.ts'
import { type KinesisProtocol, refusalBody } from './aws/kinesis-protocols.ts'

/** What the backend has to tell, in order; nothing after `failed` or `ended`. It may begin before `events` has returned. */
export type KinesisEvents = {
  events(tell: {
    event(event: object): void
    failed(refusal: KinesisRefusal): void
    ended(): void
  }): { stop(): void; pause?(): void; resume?(): void }
}

const { output } = kinesisOperations.SubscribeToShard

/**
 * Answers with events until they end or the client has gone. `live` has meanwhile what cuts it off from our side.
 */
export function answerWithEvents(
  { events }: KinesisEvents,
  protocol: KinesisProtocol,
  response: ServerResponse,
  headers: Readonly<Record<string, string>>,
  live: Set<() => void>,
): void {
  let isOver = false
  const contentType = { ':content-type': protocol.contentType }
  const send = (kind: Record<string, string>, value: object) => {
    if (isOver) return
    const message = eventMessage({ ...kind, ...contentType }, protocol.write(value, output))
    if (!response.write(message)) source?.pause?.()
  }
  const finish = () => {
    if (isOver) return
    isOver = true
    response.end()
    live.delete(stop)
  }
  const stop = () => {
    const wasOver = isOver
    finish()
    if (!wasOver) source?.stop()
  }

  // It may take five minutes: a door that closes must not wait for the next request on this connection.
  response.shouldKeepAlive = false
  response.writeHead(200, { 'content-type': 'application/vnd.amazon.eventstream', ...headers })
  let source: ReturnType<typeof events> | undefined
  send({ ':message-type': 'event', ':event-type': 'initial-response' }, {})
  live.add(stop)
  response.once('close', stop)
  response.on('drain', () => source?.resume?.())
  source = events({
    event: (event) =>
      send({ ':message-type': 'event', ':event-type': 'SubscribeToShardEvent' }, event),
    failed: (refusal) => {
      send(
        { ':message-type': 'exception', ':exception-type': exceptionOf(refusal) },
        withoutType(refusal),
      )
      finish()
    },
    ended: finish,
  })
  if (isOver) source.stop()
  else if (response.writableNeedDrain) source.pause?.()
}

/** The model has another name for it here than in an answer that is no stream. */
const exceptionOf = ({ refused }: KinesisRefusal) =>
  refused === 'InternalFailure' ? 'InternalFailureException' : refused

function withoutType(refusal: KinesisRefusal): object {
  const { __type: _, ...said } = refusalBody(refusal) as Record<string, unknown>
  return said
}
