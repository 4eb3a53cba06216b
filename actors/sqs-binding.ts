/** What the operations of SQS work with, and what they have in common. */
import type { Bus, Clock, Log } from '../bus/bus.ts'
import type { SqsMoves } from '../bus/sqs-moves.ts'
import type { QueueRecord, SqsQueues } from '../bus/sqs-queues.ts'
import type { Input } from '../edges/aws/constraints.ts'
import type { Place } from '../edges/aws/names.ts'
import {
  isSqsRefusal,
  noSuchQueue,
  refuseSqs,
  type SqsRefusal,
  SqsRefused,
} from '../edges/aws/sqs-errors.ts'
import { nameInUrl } from '../edges/aws/sqs-names.ts'
import type { InFlight } from './sqs-in-flight.ts'

export type SqsBinding = {
  bus: Bus
  queues: SqsQueues
  moves: SqsMoves
  inFlight: InFlight
  place: Place
  /** Names this front end, for the tasks that it works on. */
  frontEndId: string
  clock: Clock
  newId: () => string
  log: Log
}

/** Who asks: at which address, and until when it is worth answering. */
export type SqsCaller = { origin: string; signal: AbortSignal }

/** Gives what the operation answers, a refusal, or throws SqsRefused. */
export type SqsHandler = (input: Input, caller: SqsCaller) => Promise<object | SqsRefusal>

/** The queue that a request is about. Throws SqsRefused. */
export async function queueOf({ queues, place }: SqsBinding, input: Input): Promise<QueueRecord> {
  const name = allowed(nameInUrl(place, String(input['QueueUrl'])))
  const record = await queues.find(name)
  if (record === undefined) throw new SqsRefused(noSuchQueue())
  return record
}

/** The value, if it is no refusal. Throws SqsRefused. */
export function allowed<T>(value: T | SqsRefusal): T {
  if (isSqsRefusal(value)) throw new SqsRefused(value)
  return value as T
}

/** Source: SQS Developer Guide, "Message quotas": ten messages in a batch. */
const mostEntries = 10

/** The entries of a batch, if it is one. Throws SqsRefused. `action`: `SendMessageBatch`. */
export function entriesOf(input: Input, action: string): Input[] {
  const entries = (input['Entries'] ?? []) as Input[]
  if (entries.length === 0) {
    throw new SqsRefused(
      refuseSqs(
        'EmptyBatchRequest',
        `There should be at least one ${action}RequestEntry in the request.`,
      ),
    )
  }
  if (entries.length > mostEntries) {
    throw new SqsRefused(
      refuseSqs(
        'TooManyEntriesInBatchRequest',
        `Maximum number of entries per request are ${mostEntries}. You have sent ${entries.length}.`,
      ),
    )
  }
  checkIds(entries.map(({ Id }) => String(Id)))
  return entries
}

function checkIds(ids: readonly string[]): void {
  if (ids.some((id) => !/^[\w-]{1,80}$/.test(id))) {
    throw new SqsRefused(
      refuseSqs(
        'InvalidBatchEntryId',
        'A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.',
      ),
    )
  }
  const twice = ids.find((id, index) => ids.indexOf(id) !== index)
  if (twice !== undefined) {
    throw new SqsRefused(refuseSqs('BatchEntryIdsNotDistinct', `Id ${twice} repeated.`))
  }
}

/** Performs each entry of a batch; what is refused of one does not keep the others from being done. */
export async function performEach(
  entries: readonly Input[],
  perform: (entry: Input) => Promise<object | SqsRefusal>,
): Promise<{ Successful?: object[]; Failed?: object[] }> {
  const told = await Promise.all(
    entries.map(async (entry) => ({ Id: entry['Id'], told: await refusedOr(perform(entry)) })),
  )
  const Successful: object[] = []
  const Failed: object[] = []
  for (const { Id, told: result } of told) {
    if (isSqsRefusal(result)) {
      const { queryCode: Code, message: Message, status } = result
      Failed.push({ Id, SenderFault: status < 500, Code, Message })
    } else Successful.push({ Id, ...result })
  }
  // AWS leaves out what is empty.
  return {
    ...(Successful.length === 0 ? {} : { Successful }),
    ...(Failed.length === 0 ? {} : { Failed }),
  }
}

const refusedOr = async (performing: Promise<object | SqsRefusal>) => {
  try {
    return await performing
  } catch (error) {
    if (error instanceof SqsRefused) return error.refusal
    throw error
  }
}
