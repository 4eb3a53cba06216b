/**
 * The source of a mapping: a stream, or a consumer of one, as its ARN names it; and whether it is (still) there.
 *
 * A stream that is made again has the ARN of the former one, and is another one all the same: its records have nothing to do
 * with how far the former was read. A consumer that is made again has another ARN.
 * Source: Kinesis Data Streams API, ConsumerDescription, ConsumerARN.
 */
import type { StreamRecord } from '../machines/stream.ts'

export type Source = { sourceArn: string; stream: string }

export type SourceState = 'there' | 'noSuchStream' | 'noSuchConsumer'

/** `stream`: of the name that the source has; undefined when there is none. */
export function sourceState({ sourceArn }: Source, stream: StreamRecord | undefined): SourceState {
  if (stream === undefined || stream.status === 'DELETING') return 'noSuchStream'
  const [, name, createdAtSeconds] = /\/consumer\/([^/:]+):(\d+)$/.exec(sourceArn) ?? []
  if (name === undefined) return 'there'
  const isThere = stream.consumers.some(
    (consumer) =>
      consumer.name === name &&
      consumer.status !== 'DELETING' &&
      Math.floor(consumer.createdAtMs / 1_000) === Number(createdAtSeconds),
  )
  return isThere ? 'there' : 'noSuchConsumer'
}

/**
 * AWS's sentence for a source that is not there, which is all that is known of its sentences about that. Source:
 * lambda-semantics.md §5.3.
 */
export const notFound = ({ sourceArn }: Source): string => `Stream not found: ${sourceArn}`
