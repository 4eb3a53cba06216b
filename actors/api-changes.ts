/**
 * A change to a function: put to its actor, and what the actor refuses said in AWS's words.
 */
import { type Refusal, Refused, refuse } from '../edges/aws/errors.ts'
import { functionArn, functionNotFound, type Place } from '../edges/aws/names.ts'
import type { FunctionAnswer, FunctionRecord, FunctionRefusal } from '../machines/function.ts'
import type { ApiBinding } from './api.ts'
import type { FunctionCommand } from './function.ts'

export type Changes = {
  /** What every change carries: when, and the revision that it makes. */
  stamp(): { at: string; revisionId: string }
  /** Resolves with the function as it is then. Throws Refused. */
  change(name: string, command: FunctionCommand): Promise<FunctionRecord>
  /** The registry's revision that shows the function, if it shows it at all. */
  shownAt(name: string): Promise<number | undefined>
}

export function changesTo(binding: ApiBinding): Changes {
  const { functions, clock, newId } = binding
  return {
    stamp: () => ({ at: new Date(clock.nowMs()).toISOString(), revisionId: newId() }),
    async change(name, command) {
      const answer: FunctionAnswer | 'timeout' = await binding.command(name, command)
      if (answer === 'timeout') throw new Refused(unknownEnd())
      if ('refused' in answer) throw new Refused(refusalOf(answer.refused, name, binding))
      return answer.record
    },
    shownAt: async (name) => (await functions.read(name))?.revision,
  }
}

const unknownEnd = () =>
  refuse('ServiceException', 'It is not known whether the change was made: ask again.')

function refusalOf(refused: FunctionRefusal, name: string, where: Place): Refusal {
  switch (refused) {
    case 'absent':
      return functionNotFound(where, name)
    case 'exists':
      return alreadyExists(name)
    case 'stale revision':
      return staleRevision()
    case 'updating':
      return refuse(
        'ResourceConflictException',
        `The operation cannot be performed at this time. An update is in progress for resource: ${functionArn(where, name)}`,
      )
  }
}

export const alreadyExists = (name: string): Refusal =>
  refuse('ResourceConflictException', `Function already exist: ${name}`)

export const staleRevision = (): Refusal =>
  refuse(
    'PreconditionFailedException',
    'The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id',
  )
