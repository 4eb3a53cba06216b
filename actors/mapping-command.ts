/**
 * What control planes ask of the mappings: looks whether there is what a change needs, and hands it to the mapping, which
 * decides whether it can be changed now.
 */
import type { Checkpoints } from '../bus/checkpoints.ts'
import {
  type MappingCommand,
  type MappingOrigin,
  type MappingRecord,
  type mappingMachine,
  newMapping,
} from '../machines/mapping.ts'
import type { StreamRecord } from '../machines/stream.ts'
import type { Host } from './actor.ts'
import type { HeardStreams } from './heard-streams.ts'
import { sourceState } from './mapping-source.ts'

/** What a control plane hears; it makes AWS's error of a refusal. `uuid`: of the mapping that exists. */
export type MappingAnswer = { record: MappingRecord } | MappingRefusal

export type MappingRefusal = {
  refused: 'noSuchMapping' | 'exists' | 'noSuchStream' | 'noSuchConsumer' | 'busy'
  uuid?: string
}

export type MappingCommandsBinding = {
  mappings: Host<typeof mappingMachine>
  streams: HeardStreams
  checkpoints: Pick<Checkpoints, 'keys' | 'remove'>
  lastSequence(stream: string): Promise<number>
  /** Begins a new one; whoever asked for it is answered under that name. */
  begin(record: MappingRecord, reply: string): void
  answer(reply: string, answer: MappingAnswer): void
}

type Create = Extract<MappingCommand, { type: 'create' }>
type Update = Extract<MappingCommand, { type: 'update' }>
type Pair = Pick<MappingRecord, 'sourceArn' | 'functionName'> & { qualifier?: string | undefined }

/** Carries a command out, for whoever is known as `reply`. Throws BusError BUS_STORE_UNAVAILABLE. */
export type CarryOut = (
  command: MappingCommand,
  reply: string,
  isLeading: () => boolean,
) => Promise<void>

export function mappingCommands(binding: MappingCommandsBinding): CarryOut {
  const { mappings, streams, checkpoints, answer } = binding

  const recordOf = (uuid: string): MappingRecord | undefined =>
    mappings.snapshot(uuid)?.context.record

  /** One stream invokes one function by one mapping. */
  const duplicateOf = (pair: Pair, uuid: string): MappingRefusal | undefined => {
    for (const other of mappings.instances()) {
      const record = recordOf(other)
      const isDuplicate =
        other !== uuid &&
        record?.sourceArn === pair.sourceArn &&
        record.functionName === pair.functionName &&
        record.qualifier === pair.qualifier
      if (isDuplicate) return { refused: 'exists', uuid: other }
    }
    return undefined
  }

  const sourceOf = async (
    record: Pick<MappingRecord, 'sourceArn' | 'stream'>,
  ): Promise<{ stream: StreamRecord } | MappingRefusal> => {
    const stream = await streams.find(record.stream)
    const state = sourceState(record, stream)
    if (stream === undefined) return { refused: 'noSuchStream' }
    return state === 'there' ? { stream } : { refused: state }
  }

  const originIn = async (
    { name, incarnation, status }: StreamRecord,
    { startingPosition }: Pick<MappingRecord, 'startingPosition'>,
  ): Promise<MappingOrigin> => {
    if (startingPosition !== 'LATEST' || status === 'CREATING') return { incarnation }
    return { incarnation, startsAfter: await binding.lastSequence(name) }
  }

  /** True when the creation needs no more: it is refused, or was carried out when it was asked for before. */
  const isSettled = ({ uuid, record }: Create, reply: string): boolean => {
    const duplicate = duplicateOf(record, uuid)
    if (mappings.snapshot(uuid) !== undefined) mappings.send(uuid, { type: 'show', reply })
    else if (duplicate !== undefined) answer(reply, duplicate)
    else return false
    return true
  }

  const create = async (
    command: Create,
    reply: string,
    isLeading: () => boolean,
  ): Promise<void> => {
    if (isSettled(command, reply)) return
    const source = await sourceOf(command.record)
    if ('refused' in source) return answer(reply, source)
    const origin = await originIn(source.stream, command.record)
    // Meanwhile somebody may have been as fast.
    if (!isLeading() || isSettled(command, reply)) return
    binding.begin(newMapping(command, origin), reply)
  }

  const update = async ({ uuid, ...command }: Update, reply: string): Promise<void> => {
    const record = recordOf(uuid)
    if (record === undefined) return answer(reply, { refused: 'noSuchMapping' })
    const pair = command.to && { ...command.to, sourceArn: record.sourceArn }
    const duplicate = pair && duplicateOf(pair, uuid)
    if (duplicate !== undefined) return answer(reply, duplicate)
    const change = { ...command, reply }
    const isResting = mappings.snapshot(uuid)?.matches({ resting: 'disabled' }) === true
    if (command.isEnabled !== true || !isResting) return mappings.send(uuid, change)
    const source = await sourceOf(record)
    if ('refused' in source) return answer(reply, source)
    if (source.stream.incarnation === record.incarnation) return mappings.send(uuid, change)
    const origin = await originIn(source.stream, record)
    // How far another stream was read says nothing of this one.
    await checkpoints.remove(await checkpoints.keys(uuid))
    mappings.send(uuid, { ...change, origin })
  }

  return async (command, reply, isLeading) => {
    if (command.type === 'create') return await create(command, reply, isLeading)
    if (command.type === 'update') return await update(command, reply)
    const { uuid, ...event } = command
    if (mappings.snapshot(uuid) === undefined) answer(reply, { refused: 'noSuchMapping' })
    else mappings.hear(uuid, { ...event, reply })
  }
}
