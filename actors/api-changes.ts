/**
 * A change to a function: put to its actor, and what the actor refuses said in AWS's words.
 */
import { type Refusal, Refused, refuse } from '../edges/aws/errors.ts'
import { latest, noEventInvokeConfig } from '../edges/aws/event-invoke.ts'
import { functionArn, functionNotFound } from '../edges/aws/names.ts'
import type { FunctionAnswer, FunctionRecord, FunctionRefusal } from '../machines/function.ts'
import type { ApiBinding } from './api.ts'
import type { FunctionCommand } from './function.ts'

export type Changes = {
  /** What every change carries: when, and the revision that it makes. */
  stamp(): { at: string; revisionId: string }
  /**
   * Resolves with the function as it is then, and the registry's revision that shows it, once it is in the lists here too.
   * Throws Refused.
   */
  change(
    name: string,
    command: FunctionCommand,
  ): Promise<{ record: FunctionRecord; revision: number | undefined }>
}

/** A watch is some milliseconds behind. One that has lost its link is not waited for. */
const CATCH_UP_MS = 1_000
const LOOK_EVERY_MS = 5

export function changesTo(binding: ApiBinding): Changes {
  const { functions, registry, clock, newId } = binding

  /** A removal has no revision that could be waited for. */
  const untilGone = async ({ name, incarnation }: FunctionRecord): Promise<void> => {
    const from = clock.monotonicMs()
    while (
      registry.get(name)?.value.incarnation === incarnation &&
      clock.monotonicMs() - from < CATCH_UP_MS
    ) {
      await new Promise<void>((resolve) => clock.setTimer(resolve, LOOK_EVERY_MS))
    }
  }

  const refusalOf = async (
    refused: FunctionRefusal,
    name: string,
    command: FunctionCommand,
  ): Promise<Refusal> => {
    switch (refused) {
      case 'absent':
        return functionNotFound(binding, name)
      case 'exists':
        return alreadyExists(name)
      case 'stale revision':
        return staleRevision()
      case 'no event invoke config':
        return noEventInvokeConfig(
          binding,
          name,
          'qualifier' in command ? command.qualifier : latest,
        )
      case 'updating': {
        const state = (await functions.read(name))?.value.state
        return notNow(state === 'Pending' ? pending : inProgress(functionArn(binding, name)))
      }
    }
  }

  return {
    stamp: () => ({ at: new Date(clock.nowMs()).toISOString(), revisionId: newId() }),
    async change(name, command) {
      const answer: FunctionAnswer | 'timeout' = await binding.command(name, command)
      if (answer === 'timeout') throw new Refused(unknownEnd())
      if ('refused' in answer) throw new Refused(await refusalOf(answer.refused, name, command))
      const { record } = answer
      if (command.type === 'delete') await untilGone(record)
      const revision = (await functions.read(name))?.revision
      if (revision !== undefined) await registry.reached(revision, CATCH_UP_MS)
      return { record, revision }
    },
  }
}

const notNow = (why: string) =>
  refuse('ResourceConflictException', `The operation cannot be performed at this time. ${why}`)
const pending = 'The function is currently in the following state: Pending'
const inProgress = (arn: string) => `An update is in progress for resource: ${arn}`

const unknownEnd = () =>
  refuse('ServiceException', 'It is not known whether the change was made: ask again.')

export const alreadyExists = (name: string): Refusal =>
  refuse('ResourceConflictException', `Function already exist: ${name}`)

export const staleRevision = (): Refusal =>
  refuse(
    'PreconditionFailedException',
    'The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id',
  )
