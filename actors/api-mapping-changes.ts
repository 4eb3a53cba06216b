/**
 * A change of an event source mapping: asked of the stream tracker, and what it refuses said in AWS's words. It is told when
 * this control plane's own copy shows it, so that whoever is told can read it here.
 */
import { type Refusal, Refused, refuse } from '../edges/aws/errors.ts'
import { streamNotFound } from '../edges/aws/event-source.ts'
import { alreadyMapped, mappingInUse, noSuchMapping } from '../edges/aws/event-source-mapping.ts'
import type { MappingCommand, MappingRecord } from '../machines/mapping.ts'
import type { ApiBinding } from './api.ts'
import type { MappingAnswer } from './mapping-command.ts'

export type MappingChanges = {
  find(uuid: string): Promise<MappingRecord | undefined>
  /** Resolves with the mapping as it is then. `of`: what it is to be a mapping of. Throws Refused. */
  change(command: MappingCommand, of: MappingOf): Promise<MappingRecord>
}
type MappingOf = Pick<MappingRecord, 'sourceArn' | 'functionName'>

/** A watch is some milliseconds behind. One that has lost its link is not waited for. */
const CATCH_UP_MS = 2_000
const LOOK_EVERY_MS = 5

const isUuid = (text: string) => /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i.test(text)

export function mappingChanges(binding: ApiBinding): MappingChanges {
  const { mappings, changeMapping, clock } = binding

  const untilShown = async (isShown: () => boolean): Promise<void> => {
    const from = clock.monotonicMs()
    while (!isShown() && clock.monotonicMs() - from < CATCH_UP_MS) {
      await new Promise<void>((resolve) => clock.setTimer(resolve, LOOK_EVERY_MS))
    }
  }

  const find = async (uuid: string): Promise<MappingRecord | undefined> => {
    const key = uuid.toLowerCase()
    return isUuid(uuid) ? await mappings.find(key) : undefined
  }

  return {
    find,
    async change(command, of) {
      const answer = await changeMapping(command)
      const record = recordOf(answer) ?? (await madeBefore(answer, command, find))
      if (record === undefined) throw new Refused(refusalOf(answer, command, of))
      await untilShown(() => shows(mappings.get(command.uuid), record, command))
      return record
    },
  }
}

type Outcome = MappingAnswer | 'nobody' | 'timeout'

const recordOf = (answer: Outcome): MappingRecord | undefined =>
  typeof answer === 'object' && 'record' in answer ? answer.record : undefined

/** What stands in the way is what was to be made: the request was heard twice. */
async function madeBefore(
  answer: Outcome,
  { type, uuid }: MappingCommand,
  find: MappingChanges['find'],
): Promise<MappingRecord | undefined> {
  const isItself =
    typeof answer === 'object' &&
    'refused' in answer &&
    answer.refused === 'exists' &&
    type === 'create'
  return isItself && answer.uuid === uuid ? await find(uuid) : undefined
}

/** One that is deleted may be gone already. */
function shows(
  shown: MappingRecord | undefined,
  record: MappingRecord,
  { type }: MappingCommand,
): boolean {
  if (shown === undefined) return type === 'delete'
  if (type === 'delete') return shown.state === 'Deleting'
  return (
    shown.lastModifiedMs >= record.lastModifiedMs &&
    JSON.stringify(shown.tags) === JSON.stringify(record.tags)
  )
}

function refusalOf(answer: Outcome, { type }: MappingCommand, of: MappingOf): Refusal {
  if (answer === 'nobody') return refuse('ServiceException', nobody)
  if (answer === 'timeout' || 'record' in answer) return refuse('ServiceException', silent)
  switch (answer.refused) {
    case 'noSuchMapping':
      return noSuchMapping()
    case 'busy':
      return mappingInUse(type === 'delete' ? 'delete' : 'update')
    case 'noSuchStream':
    case 'noSuchConsumer':
      return streamNotFound(of.sourceArn)
    case 'exists':
      return alreadyMapped(of.sourceArn, of.functionName, answer.uuid ?? '')
  }
}
const nobody = 'There is no stream tracker: start one with `lambus start stream-tracker`.'
const silent =
  'The stream tracker did not answer in time. Whether the change was made is not known.'
