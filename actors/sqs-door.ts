/**
 * SQS without HTTP: `lambus.sqs.api.<Operation>` takes and gives the JSON of the operation, and a refusal is a NATS
 * service error. `nats req lambus.sqs.api.SendMessage '{"QueueUrl":"orders","MessageBody":"hello"}'`
 *
 * A ReceiveMessage that waits wants a question that waits, too: nobody tells us when who asked has gone, and what he was
 * given then comes again when its visibility timeout is over.
 */
import { headers } from 'nats'
import type { Bus, Msg } from '../bus/bus.ts'
import * as subjects from '../bus/subjects.ts'
import type { Input } from '../edges/aws/constraints.ts'
import { isSqsRefusal, refuseSqs, type SqsRefusal } from '../edges/aws/sqs-errors.ts'
import { readSqsJson, refuseInJson } from '../edges/aws/sqs-json.ts'
import { isSqsOperation, sqsOperations } from '../edges/aws/sqs-operations.ts'
import type { Sqs } from './sqs.ts'

export type SqsDoor = {
  /** Takes nothing new; resolves when what is in hand is answered. */
  stop(): Promise<void>
}

/** More than our headers take. */
const headerBytes = 1_024

/** `origin`: the address that queue URLs begin with. */
export function openSqsDoor(
  bus: Bus,
  { sqs, newId, origin }: { sqs: Pick<Sqs, 'call'>; newId: () => string; origin: string },
): SqsDoor {
  const inHand = new Set<Promise<void>>()

  const perform = async (operation: string, message: Msg): Promise<object | SqsRefusal> => {
    if (!isSqsOperation(operation)) {
      return refuseSqs(
        'UnknownOperationException',
        `lambus does not implement the operation ${operation}.`,
      )
    }
    const input: Input | SqsRefusal = readSqsJson(sqsOperations[operation].input, message.data)
    return isSqsRefusal(input) ? input : await sqs.call(operation, input, { origin })
  }

  const hear = async (message: Msg): Promise<void> => {
    const told = await perform(subjects.tokens(message.subject).at(-1) ?? '', message)
    if (isSqsRefusal(told)) return respondRefused(message, told)
    const body = Buffer.from(JSON.stringify(told))
    if (body.length > largestBytes) return respondRefused(message, tooLarge(body.length))
    message.respond(body, { headers: madeHeaders() })
  }

  /** Only ReceiveMessage can come to so much; its messages come again. */
  const tooLarge = (bytes: number) =>
    refuseSqs(
      'RequestEntityTooLargeException',
      `The answer has ${bytes} bytes, and NATS carries ${largestBytes}: ask for fewer messages.`,
    )
  const largestBytes = (bus.nats.info?.max_payload ?? Number.POSITIVE_INFINITY) - headerBytes

  const madeHeaders = () => {
    const made = headers()
    made.set('X-Amzn-RequestId', newId())
    return made
  }

  const respondRefused = (message: Msg, told: SqsRefusal) => {
    const made = madeHeaders()
    made.set('Nats-Service-Error-Code', String(told.status))
    made.set('Nats-Service-Error', `${told.refused}: ${told.message.replace(/\s+/g, ' ')}`)
    made.set('X-Amzn-ErrorType', told.refused)
    message.respond(refuseInJson(told).body, { headers: made })
  }

  const hearing = bus.subscribe(
    subjects.anySqsApi,
    (message) => {
      const task = hear(message).finally(() => inHand.delete(task))
      inHand.add(task)
      return task
    },
    { queue: 'front-end' },
  )
  return {
    async stop() {
      hearing.stop()
      await Promise.allSettled(inHand)
    },
  }
}
