/**
 * NOT THE STREAM TRACKER: a stand-in for it, so that the control plane's side of event source mappings can be tested alone.
 * It answers on the same subject of a real bus and writes the same directories; what it decides is as simple as can be, and
 * a mapping goes on from `Creating` and the like only when it is told to `settle`.
 */

import type { MappingAnswer } from '../../actors/mapping-command.ts'
import type { Bus } from '../../bus/bus.ts'
import { openDirectory } from '../../bus/directory.ts'
import { encodeToken } from '../../bus/encoded-token.ts'
import { mappingsBucket, streamsBucket, trackerMapping } from '../../bus/subjects.ts'
import type { MappingCommand, MappingRecord } from '../../machines/mapping.ts'
import type { StreamConsumer, StreamRecord } from '../../machines/stream.ts'

export type TrackerStandIn = {
  /** What it was asked for, oldest first. */
  heard: MappingCommand[]
  makeStream(name: string, more?: Partial<StreamRecord>): Promise<void>
  /** Every mapping gets where it is going. */
  settle(): Promise<void>
  /** From now on it stores what it answers only so much later. */
  lag(ms: number): void
  /** The next request is heard, and not answered as one would think. */
  answerNext(answer: MappingAnswer | 'as usual, and forgotten'): void
  stop(): void
}

export const consumer = (name: string, more: Partial<StreamConsumer> = {}): StreamConsumer => ({
  name,
  createdAtMs: 1_789_807_946_123,
  status: 'ACTIVE',
  tags: {},
  ...more,
})

export async function startTrackerStandIn(bus: Bus): Promise<TrackerStandIn> {
  const mappings = await openDirectory<MappingRecord>(bus, mappingsBucket)
  const streams = await openDirectory<StreamRecord>(bus, streamsBucket)
  const records = new Map<string, MappingRecord>()
  const heard: MappingCommand[] = []
  let lagMs = 0
  let next: MappingAnswer | 'as usual, and forgotten' | undefined

  const store = (record: MappingRecord) => mappings.put(record.uuid, record, 1)

  const hearing = bus.subscribe(trackerMapping, async (message) => {
    const command = message.json<MappingCommand>()
    heard.push(command)
    const given = next
    next = undefined
    if (typeof given === 'object') return void message.respond(JSON.stringify(given))
    const answer = decide(command, records)
    if (given === 'as usual, and forgotten' && 'record' in answer) {
      await store(answer.record)
      const forgotten = { refused: 'exists', uuid: command.uuid } satisfies MappingAnswer
      return void message.respond(JSON.stringify(forgotten))
    }
    if ('record' in answer) {
      if (lagMs > 0) setTimeout(() => void store(answer.record), lagMs)
      else await store(answer.record)
    }
    message.respond(JSON.stringify(answer))
  })

  return {
    heard,
    async makeStream(name, more = {}) {
      await streams.put(encodeToken(name), { ...plainStream(name), ...more }, 1)
    },
    async settle() {
      for (const record of [...records.values()]) {
        if (record.state === 'Deleting') {
          records.delete(record.uuid)
          await mappings.remove(record.uuid, 1)
          continue
        }
        record.state =
          record.state === 'Disabling' || record.state === 'Disabled' ? 'Disabled' : 'Enabled'
        await store(record)
      }
    },
    lag(ms) {
      lagMs = ms
    },
    answerNext(answer) {
      next = answer
    },
    stop: hearing.stop,
  }
}

function decide(command: MappingCommand, records: Map<string, MappingRecord>): MappingAnswer {
  if (command.type === 'create') return create(command, records)
  const record = records.get(command.uuid)
  if (record === undefined) return { refused: 'noSuchMapping' }
  const isBusy = record.state !== 'Enabled' && record.state !== 'Disabled'
  switch (command.type) {
    case 'update': {
      if (isBusy) return { refused: 'busy' }
      const wants = command.isEnabled ?? record.state === 'Enabled'
      const isEnabled = record.state === 'Enabled'
      const { onFailure, ...others } = command.settings
      record.settings = { ...record.settings, ...others }
      if (onFailure !== undefined) record.settings.onFailure = onFailure
      if (command.to !== undefined) {
        delete record.qualifier
        Object.assign(record, command.to)
      }
      record.state = wants === isEnabled ? 'Updating' : wants ? 'Enabling' : 'Disabling'
      record.lastModifiedMs = command.nowMs
      break
    }
    case 'delete':
      if (record.state === 'Deleting') return { refused: 'busy' }
      record.state = 'Deleting'
      break
    case 'tag':
      record.tags = { ...record.tags, ...command.tags }
      break
    case 'untag':
      record.tags = Object.fromEntries(
        Object.entries(record.tags).filter(([key]) => !command.keys.includes(key)),
      )
  }
  return { record: structuredClone(record) }
}

function create(
  { uuid, nowMs, record: given }: Extract<MappingCommand, { type: 'create' }>,
  records: Map<string, MappingRecord>,
): MappingAnswer {
  const same = [...records.values()].find(
    ({ sourceArn, functionArn }) =>
      sourceArn === given.sourceArn && functionArn === given.functionArn,
  )
  if (same !== undefined) return { refused: 'exists', uuid: same.uuid }
  const record: MappingRecord = {
    ...given,
    uuid,
    incarnation: 'i1',
    state: 'Creating',
    reason: 'User action',
    lastResult: 'No records processed',
    lastModifiedMs: nowMs,
  }
  records.set(uuid, record)
  return { record: structuredClone(record) }
}

const plainStream = (name: string): StreamRecord => ({
  name,
  incarnation: 'i1',
  status: 'ACTIVE',
  mode: 'PROVISIONED',
  createdAtMs: 1_789_807_900_000,
  retentionHours: 24,
  maxRecordKib: 1_024,
  shards: [],
  nextShard: 0,
  tags: {},
  consumers: [],
})
