/**
 * The event of a batch. Sections are those of lambda-semantics.md; the key order is that of LocalStack's
 * test_kinesis_event_source_mapping_with_async_invocation, recorded on AWS (2025-11).
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type EventWindow,
  eventJsonBytes,
  kinesisEvent,
  recordJsonBytes,
} from '../../../edges/aws/kinesis-event.ts'
import '../../seed.ts'

const frame = {
  place: { region: 'us-east-1', account: '000000000000' },
  streamArn: 'arn:aws:kinesis:us-east-1:000000000000:stream/orders',
  shardId: 'shardId-000000000000',
  roleArn: 'arn:aws:iam::000000000000:role/r',
}
const sequenceNumber = '49590338271490256608559692538361571095921575989136588898'
const hello = {
  partitionKey: 'test_1',
  sequenceNumber,
  data: Buffer.from('hello'),
  arrivalMs: 1_545_084_650_987,
}
const window: EventWindow = {
  startMs: Date.parse('2020-07-30T17:00:00Z'),
  endMs: Date.parse('2020-07-30T17:05:00Z'),
  state: '{"1":282}',
  isFinal: false,
  isTerminatedEarly: false,
}
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('utf8')

describe('the event of a batch', () => {
  test('has its keys in the recorded order (§5.4)', () => {
    expect(text(kinesisEvent({ ...frame, records: [hello] }))).toBe(
      `{"Records":[{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"test_1","sequenceNumber":"${sequenceNumber}","data":"aGVsbG8=","approximateArrivalTimestamp":1545084650.987},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"shardId-000000000000:${sequenceNumber}","eventName":"aws:kinesis:record","invokeIdentityArn":"arn:aws:iam::000000000000:role/r","awsRegion":"us-east-1","eventSourceARN":"arn:aws:kinesis:us-east-1:000000000000:stream/orders"}]}`,
    )
  })

  test('of a consumer names the consumer (§5.4)', () => {
    const streamArn = `${frame.streamArn}/consumer/c:1789807946`
    const event = JSON.parse(text(kinesisEvent({ ...frame, streamArn, records: [hello] })))
    expect(event.Records[0].eventSourceARN).toBe(streamArn)
  })

  test('with a tumbling window says which, and what was answered last (§5.8)', () => {
    const event = text(kinesisEvent({ ...frame, records: [], window }))
    expect(event).toBe(
      '{"Records":[],"window":{"start":"2020-07-30T17:00:00Z","end":"2020-07-30T17:05:00Z"},"state":{"1":282},"shardId":"shardId-000000000000","eventSourceARN":"arn:aws:kinesis:us-east-1:000000000000:stream/orders","isFinalInvokeForWindow":false,"isWindowTerminatedEarly":false}',
    )
  })

  test('is JSON with what was put in, whatever that was, and as long as it was said beforehand', () => {
    const record = fc.record({
      partitionKey: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
      sequenceNumber: fc.bigInt({ min: 0n, max: 10n ** 56n }).map(String),
      data: fc.uint8Array({ maxLength: 50 }),
      arrivalMs: fc.nat(2 ** 31 - 1).map((ms) => 1_545_000_000_000 + ms),
    })
    fc.assert(
      fc.property(fc.array(record, { maxLength: 5 }), fc.boolean(), (records, isWindowed) => {
        const windows = isWindowed ? { window } : {}
        const bytes = kinesisEvent({ ...frame, records, ...windows })
        const event = JSON.parse(text(bytes))
        expect(
          event.Records.map(({ kinesis }: { kinesis: Record<string, string> }) => kinesis),
        ).toEqual(
          records.map((one) => ({
            kinesisSchemaVersion: '1.0',
            partitionKey: one.partitionKey,
            sequenceNumber: one.sequenceNumber,
            data: Buffer.from(one.data).toString('base64'),
            approximateArrivalTimestamp: one.arrivalMs / 1_000,
          })),
        )
        const each = records.map((one) => recordJsonBytes(one, frame))
        const commas = records.length === 0 ? 0 : 1
        const foretold = eventJsonBytes(frame, windows.window) + each.reduce((a, b) => a + b, 0)
        expect(bytes.length).toBe(foretold - commas)
      }),
    )
  })
})
