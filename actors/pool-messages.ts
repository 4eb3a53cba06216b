/**
 * What front ends, worker managers, placements and workers tell each other about pools: JSON on the subjects of
 * bus/subjects.ts. Each message names its pool; the last token of its subject is the type of the event it becomes.
 */
import type { Bus, Msg } from '../bus/bus.ts'
import { fieldsOf } from '../bus/message-fields.ts'
import { partitionOf } from '../bus/partitions.ts'
import * as subjects from '../bus/subjects.ts'
import type { FunctionRecord, Generation } from '../machines/function.ts'
import type { PoolEvent } from '../machines/pool.ts'
import type { Found } from '../machines/pool-ledger.ts'

/** `<function>:<generation>`: names a pool. */
export const poolOf = (record: FunctionRecord, generation: Generation): string =>
  `${record.name}:${generation.id}`

export const isPool = (text: string): boolean => /^[\w-]+:./.test(text)
export const functionOf = (pool: string): string => pool.slice(0, pool.indexOf(':'))
export const generationOf = (pool: string): string => pool.slice(pool.indexOf(':') + 1)

/** A request for room for one sandbox, as placement gets it and passes it on to a worker. */
export type RoomRequest = {
  sandboxId: string
  pool: string
  functionName: string
  generation: Generation
}
export type RoomAnswer = { placed: string } | { noRoom: true }
export type ProvisionAnswer = { accepted: true } | { refused: string }
/** A worker's answer to anything but an invocation: whether it has that sandbox. */
export type SandboxAnswer = { isHere: boolean }

/** What workers and front ends answer when the new owner of a partition asks what there is. */
export type FoundInPool = Found & { pool: string }

/** The partition that a question for what there is asks about. Undefined when it is no such question. */
export function partitionAsked(message: Msg): number | undefined {
  const partition = fieldsOf(message)?.['partition']
  return typeof partition === 'number' ? partition : undefined
}

/** Undefined when it asks for no room. */
export function roomRequestOf(message: Msg): RoomRequest | undefined {
  const request = fieldsOf(message) as Partial<RoomRequest> | undefined
  const texts = [request?.sandboxId, request?.pool, request?.functionName]
  return texts.every((text) => typeof text === 'string' && text !== '') &&
    typeof request?.generation?.settings?.memoryMb === 'number'
    ? (request as RoomRequest)
    : undefined
}

export function tellPool(bus: Bus, partitions: number, pool: string, event: PoolEvent): void {
  const { type, ...fields } = event
  const subject = subjects.pool(partitionOf(functionOf(pool), partitions), type)
  bus.publish(subject, JSON.stringify({ pool, ...fields }))
}

/** The event that a message is: its type is the last token of the subject. Undefined when it is not JSON. */
export function eventOf(message: Msg): ({ type: string } & Record<string, unknown>) | undefined {
  const fields = fieldsOf(message)
  return fields && { ...fields, type: subjects.tokens(message.subject).at(-1) ?? '' }
}
