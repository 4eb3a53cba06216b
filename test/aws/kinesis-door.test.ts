/** `lambus.kinesis.<stream>`: records without HTTP. */
import { headers } from 'nats'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type KinesisDoor, openKinesisDoor } from '../../actors/kinesis-door.ts'
import { kinesis as kinesisSubject } from '../../bus/subjects.ts'
import { type ListeningLog, listeningLog } from '../bus/listening-log.ts'
import { largestHash, startKinesis } from './kinesis-front-end.ts'

let kinesis: Awaited<ReturnType<typeof startKinesis>>
let door: KinesisDoor
let log: ListeningLog
beforeAll(async () => {
  kinesis = await startKinesis()
  log = listeningLog()
  const { call } = kinesis.kinesis
  door = openKinesisDoor(kinesis.bus, { call, newId: () => 'request', log })
  await kinesis.directory.make('orders.eu', 2)
})
afterAll(async () => {
  await door.stop()
  await kinesis.stop()
})

const head = (values: Record<string, string>) => {
  const made = headers()
  for (const [name, value] of Object.entries(values)) made.set(name, value)
  return made
}
async function ask(stream: string, values: Record<string, string>) {
  const answer = await kinesis.bus.request(kinesisSubject(stream), 'a record', {
    headers: head(values),
    timeoutMs: 20_000,
  })
  if (typeof answer === 'string') throw new Error(answer)
  const header = (name: string) => answer.headers?.get(name)
  return { body: answer.json<Record<string, string>>(), header }
}

describe('the door', () => {
  test('puts a record, with dots in the name of its stream and any text for its key', async () => {
    const { body, header } = await ask('orders.eu', { 'Partition-Key': 'ü 1' })
    expect(body).toEqual({
      ShardId: expect.stringMatching(/^shardId-00000000000[01]$/),
      SequenceNumber: expect.stringMatching(/^\d{56}$/),
    })
    expect(header('X-Amzn-RequestId')).toBe('request')
    const { ShardIterator } = await kinesis.call<{ ShardIterator: string }>('GetShardIterator', {
      StreamName: 'orders.eu',
      ShardId: body['ShardId'],
      ShardIteratorType: 'TRIM_HORIZON',
    })
    const { Records } = await kinesis.call<{ Records: { Data: Uint8Array }[] }>('GetRecords', {
      ShardIterator,
    })
    expect(Records).toMatchObject([{ PartitionKey: 'ü 1', SequenceNumber: body['SequenceNumber'] }])
    expect(Buffer.from(Records[0]?.Data ?? '').toString()).toBe('a record')
  })

  test('goes by an explicit hash key where there is one', async () => {
    const more = { 'Partition-Key': 'a', 'Explicit-Hash-Key': String(largestHash) }
    expect((await ask('orders.eu', more)).body['ShardId']).toBe('shardId-000000000001')
  })

  test('refuses as a NATS service does, with the JSON of AWS', async () => {
    const none = await ask('none', { 'Partition-Key': 'a' })
    expect(none.header('Nats-Service-Error-Code')).toBe('400')
    expect(none.header('Nats-Service-Error')).toBe(
      'ResourceNotFoundException: Stream none under account 000000000000 not found.',
    )
    expect(none.header('X-Amzn-ErrorType')).toBe('ResourceNotFoundException')
    expect(none.body).toEqual({
      __type: 'ResourceNotFoundException',
      message: 'Stream none under account 000000000000 not found.',
    })
    expect((await ask('orders.eu', {})).body).toEqual({
      __type: 'ValidationException',
      message:
        "1 validation error detected: Value null at 'partitionKey' failed to satisfy constraint: Member must not be null",
    })
    const bad = await ask('orders.eu', { 'Partition-Key': 'a', 'Explicit-Hash-Key': '0x7' })
    expect(bad.body['message']).toContain(
      String.raw`at 'explicitHashKey' failed to satisfy constraint: Member must satisfy regular expression pattern: 0|([1-9]\d{0,38})`,
    )
    const long = await ask('orders.eu', { 'Partition-Key': 'a'.repeat(257) })
    expect(long.body['message']).toContain('length less than or equal to 256')
  })

  test('counts what it refused and nobody was told of, and logs it once', async () => {
    for (const stream of ['none', 'orders.eu', '*']) {
      kinesis.bus.publish(kinesisSubject(stream === '*' ? 'a b'.replace(' ', '$') : stream), 'x')
    }
    while (door.counts.refusedRecords < 3) await new Promise((resolve) => setTimeout(resolve, 2))
    expect(log.codes()).toEqual(['KINESIS_RECORD_REFUSED'])
  })
})
