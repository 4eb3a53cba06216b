/**
 * Whether the source of a mapping, a stream or a consumer of one, is (still) there.
 *
 * A stream that is made again has the ARN of the former one, and is another one all the same: its records have nothing to do
 * with how far the former was read. A consumer that is made again has another ARN.
 * Source: Kinesis Data Streams API, Consumer, ConsumerARN.
 */
import { isRefusal } from '../edges/aws/errors.ts'
import { isSource, readEventSource, streamNotFound } from '../edges/aws/event-source.ts'
import type { MappingRecord } from '../machines/mapping.ts'
import type { StreamRecord } from '../machines/stream.ts'

export type SourceState = 'there' | 'noSuchStream' | 'noSuchConsumer'

type Sourced = Pick<MappingRecord, 'sourceArn'>

/** `stream`: of the name that the source has; undefined when there is none. */
export function sourceState({ sourceArn }: Sourced, stream: StreamRecord | undefined): SourceState {
  // That it is an ARN of this place was seen to when the mapping was asked for.
  const [, , , region = '', account = ''] = sourceArn.split(':')
  const source = readEventSource(sourceArn, { region, account })
  const isStreamThere = stream !== undefined && stream.status !== 'DELETING'
  if (!isStreamThere || isRefusal(source) || source.kind !== 'kinesis') return 'noSuchStream'
  return isSource(source, stream) ? 'there' : 'noSuchConsumer'
}

/** The sentence for a source that is not there. */
export const notFound = ({ sourceArn }: Sourced): string => streamNotFound(sourceArn).message ?? ''
