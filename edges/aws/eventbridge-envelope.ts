/**
 * What is published to an event bus about the end of an asynchronous event: an EventBridge event around the record.
 *
 * Source: lambda-semantics.md §4.4 (source, detail types, resources); Amazon EventBridge User Guide, "AWS service event
 * metadata" (members, their order, the time in whole seconds).
 */
import type { EndCondition } from './destination-record.ts'

/** JSON in UTF-8. `functionArn` is the record's, with its qualifier; `record` goes in as it is. */
export function eventBridgeEnvelope(event: {
  readonly id: string
  readonly busArn: string
  readonly functionArn: string
  readonly condition: EndCondition
  readonly timestampMs: number
  readonly record: Uint8Array
}): Uint8Array {
  const { id, busArn, functionArn, condition, timestampMs, record } = event
  const [, , , region, account] = functionArn.split(':')
  const outcome = condition === 'Success' ? 'Success' : 'Failure'
  const head = {
    version: '0',
    id,
    'detail-type': `Lambda Function Invocation Result - ${outcome}`,
    source: 'lambda',
    account,
    time: new Date(timestampMs).toISOString().replace(/\.\d+Z$/, 'Z'),
    region,
    resources: [busArn, functionArn],
  }
  return Buffer.concat([
    Buffer.from(`${JSON.stringify(head).slice(0, -1)},"detail":`),
    record,
    Buffer.from('}'),
  ])
}
