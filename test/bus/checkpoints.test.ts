import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { type CheckpointWriter, takeOverCheckpoint } from '../../bus/checkpoint-writer.ts'
import { type Checkpoint, openCheckpoints, readCheckpoint } from '../../bus/checkpoints.ts'
import { openBus } from '../../bus/connection.ts'
import { checkpointsBucket, kvEntry } from '../../bus/subjects.ts'
import { systemClock } from '../../edges/clock.ts'
import { startNatsServer, type TestServer } from '../nats-server.ts'

let server: TestServer
let bus: Bus
beforeAll(async () => {
  server = await startNatsServer()
  bus = await openBus({ servers: server.url, role: 'stream-tracker', id: 'checkpoints' })
})
afterAll(async () => {
  await bus.close()
  await server.stop()
})

const put = async (key: string, checkpoint: Checkpoint) =>
  (await bus.jetstream.publish(kvEntry(checkpointsBucket, key), JSON.stringify(checkpoint))).seq

test('a checkpoint is read with the revision to write over, and one that is not there with 0', async () => {
  const checkpoints = await openCheckpoints(bus)
  expect(await readCheckpoint(bus, 'u.0')).toEqual({ checkpoint: undefined, revision: 0 })
  const checkpoint = { epoch: 3, done: 7, lanes: [{ done: 7 }], hasEnded: true }
  const revision = await put('u.0', checkpoint)
  expect(await readCheckpoint(bus, 'u.0')).toEqual({ checkpoint, revision })
  expect(await checkpoints.read('u.0')).toEqual(checkpoint)
})

test('checkpoints are found by mapping, and taken away for good', async () => {
  const checkpoints = await openCheckpoints(bus)
  for (const key of ['v.0', 'v.12', 'vv.0']) await put(key, { epoch: 1, done: 0, lanes: [] })
  expect((await checkpoints.keys('v')).sort()).toEqual(['v.0', 'v.12'])
  expect(await checkpoints.keys()).toEqual(expect.arrayContaining(['v.0', 'v.12', 'vv.0']))
  expect(await checkpoints.keys('w')).toEqual([])
  await checkpoints.remove(['v.0', 'v.12', 'v.99'])
  await checkpoints.remove(['v.0'])
  expect(await checkpoints.read('v.0')).toBeUndefined()
  expect(await checkpoints.read('vv.0')).toBeDefined()
  // What is written over is the marker.
  const { checkpoint, revision } = await readCheckpoint(bus, 'v.0')
  expect(checkpoint).toBeUndefined()
  expect(revision).toBeGreaterThan(0)
})

test('what changes in the moment in which a write ends is stored, too', async () => {
  await openCheckpoints(bus)
  let done = 1
  let writes = 0
  const clock = {
    ...systemClock,
    // It is looked at behind each write: what is done then happens between the writer's last look and its rest.
    monotonicMs() {
      if (writes++ === 1) {
        void Promise.resolve().then(() => {
          done = 2
          writer.changed()
        })
      }
      return systemClock.monotonicMs()
    },
  }
  const writer = (await takeOverCheckpoint(
    bus,
    clock,
    'x.0',
    1,
    { done: 0, lanes: [] },
    {
      state: () => ({ done, lanes: [] }),
      lost: () => {},
    },
  )) as CheckpointWriter
  writer.changed()
  await expect.poll(async () => (await readCheckpoint(bus, 'x.0')).checkpoint?.done).toBe(2)
  expect(await writer.stored()).toBe('stored')
})
