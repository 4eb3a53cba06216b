/**
 * The ledger of a lane: one message that says who reads the lane, and what has been decided about packets that are still
 * there.
 *
 *     decided ──▶ waits ──▶ [ledger, what follows …] in one write ──▶ stored: only now is anything acknowledged
 *
 * Every write of a reader replaces exactly the ledger that it wrote before. Whoever takes a lane over writes its own
 * first, so what the reader before it still wants to store is refused as a whole: that is the fence, whatever clocks and
 * heartbeats said. The new reader finds in it which events it need not look at: their packets were not acknowledged in time.
 *
 * What is decided while a write is on its way goes into the next one.
 * Source of the form: reference nats.md §2.3 (expected sequences), §2.4 (a batch is refused as a whole).
 */
import { nuid } from 'nats'
import { mostMessages, type NewMessage, writeTogether } from './atomic-write.ts'
import type { Bus, Log } from './bus.ts'
import { insist } from './insist.ts'
import { eventStream, ledger as ledgerSubject } from './subjects.ts'

/** Events by the sequence of their packet: their places in it. */
export type Decided = Record<string, number[]>

/** `reader`: by which its consumers are named. */
type Document = { epoch: number; write: string; reader: string; decided: Decided }

export type Ledger = {
  /** What the readers before had decided. */
  readonly inherited: Decided
  /** The reader before, whose consumers are in the way. Empty: there was none. */
  readonly formerReader: string
  /**
   * Stores what follows from a decision. `counts` is called when it is part of the next write: from then on `decided` has to
   * know of the decision, and not before, or it could be stored without what follows from it. `fenced`: somebody else reads
   * the lane, or the bus was closed; nothing was stored as far as is known.
   */
  store(messages: NewMessage[], counts?: () => void): Promise<'stored' | 'fenced'>
  /** Waits for what is on its way. */
  settled(): Promise<void>
}

type Waiting = {
  messages: NewMessage[]
  counts: () => void
  done: (outcome: 'stored' | 'fenced') => void
}

export type LedgerOptions = {
  queue: string
  lane: number
  /** The epoch of the lease: a higher one wins. */
  epoch: number
  /** Names its consumers. */
  reader: string
  /** Everything decided about packets that may still be there, at the moment of a write. */
  decided: () => Decided
  log: Log
}

// nats-server, errors.json.
const WRONG_LAST_SEQUENCE = 10071
const PAUSE_MS = 100
// Beside the ledger itself.
const MOST_AT_ONCE = mostMessages - 1

/** Puts this reader in. `fenced`: a later one is there already. Throws BusError BUS_STORE_UNAVAILABLE, BUS_CLOSED. */
export async function openLedger(bus: Bus, options: LedgerOptions): Promise<Ledger | 'fenced'> {
  const { queue, lane, epoch, reader, log } = options
  const subject = ledgerSubject(queue, lane)
  const former = await takeOver(bus, subject, { epoch, reader })
  if (former === 'fenced') return 'fenced'
  let { sequence } = former
  let waiting: Waiting[] = []
  let writing: Promise<void> | undefined
  let isFenced = false

  /** As many of those that wait as one write can hold. */
  const next = (): Waiting[] => {
    let messages = 0
    const count = waiting.findIndex((each) => {
      messages += each.messages.length
      return messages > MOST_AT_ONCE
    })
    const taken = count === -1 ? waiting : waiting.slice(0, Math.max(1, count))
    waiting = waiting.slice(taken.length)
    return taken
  }

  const write = async (taken: Waiting[]): Promise<'stored' | 'fenced'> => {
    for (const { counts } of taken) counts()
    const document = { epoch, reader, decided: options.decided() }
    const follow = taken.flatMap(({ messages }) => messages)
    const stored = await replace(bus, subject, { document, follow, sequence, log })
    if (stored === 'fenced') return 'fenced'
    sequence = stored
    return 'stored'
  }

  const failed = (error: unknown) => {
    log.warn({ code: 'BUS_LEDGER_LEFT', queue, lane, err: error }, 'nothing more is stored here')
    return 'fenced' as const
  }

  const writeAll = async (): Promise<void> => {
    while (waiting.length > 0) {
      const taken = next()
      const outcome = isFenced ? 'fenced' : await write(taken).catch(failed)
      isFenced = outcome === 'fenced'
      for (const { done } of taken) done(outcome)
    }
  }

  const start = (): void => {
    writing ??= writeAll().finally(() => {
      writing = undefined
      // What came after the last look, and before this, found it still writing.
      if (waiting.length > 0) start()
    })
  }

  return {
    inherited: former.decided,
    formerReader: former.reader,
    store: (messages, counts = () => {}) =>
      new Promise((resolve) => {
        waiting.push({ messages, counts, done: resolve })
        start()
      }),
    settled: async () => {
      while (writing !== undefined) await writing
    },
  }
}

/** Replaces whatever ledger there is, unless its reader came later. */
async function takeOver(
  bus: Bus,
  subject: string,
  { epoch, reader }: { epoch: number; reader: string },
): Promise<{ sequence: number; decided: Decided; reader: string } | 'fenced'> {
  for (;;) {
    const there = await readLedger(bus, subject)
    if (there !== undefined && there.document.epoch > epoch) return 'fenced'
    const decided = there?.document.decided ?? {}
    const document = { epoch, reader, decided }
    const written = await replace(bus, subject, {
      document,
      follow: [],
      sequence: there?.sequence ?? 0,
    })
    // Somebody else wrote in between: the reader before, who does not know yet, or another new one.
    if (written !== 'fenced') {
      return { sequence: written, decided, reader: there?.document.reader ?? '' }
    }
  }
}

/** The sequence of the new ledger. */
async function replace(
  bus: Bus,
  subject: string,
  {
    document,
    follow,
    sequence,
    log,
  }: { document: Omit<Document, 'write'>; follow: NewMessage[]; sequence: number; log?: Log },
): Promise<number | 'fenced'> {
  const write = nuid.next()
  const ledgerMessage: NewMessage = {
    subject,
    body: JSON.stringify({ ...document, write }),
    headers: {
      'Nats-Rollup': 'sub',
      'Nats-Expected-Last-Subject-Sequence': String(sequence),
    },
  }
  const messages = [ledgerMessage, ...follow]
  for (;;) {
    await bus.ready()
    const outcome = await writeTogether(bus, messages)
    if (outcome !== 'unanswered' && 'sequence' in outcome) return outcome.sequence - follow.length
    if (outcome !== 'unanswered' && outcome.refused !== WRONG_LAST_SEQUENCE) {
      log?.error(
        { code: 'BUS_LEDGER_REFUSED', subject, why: outcome.why },
        'decisions about events cannot be stored; will be tried again',
      )
    } else {
      // An earlier try may have been carried out and its answer lost.
      const there = await readLedger(bus, subject)
      if (there?.document.write === write) return there.sequence
      if ((there?.sequence ?? 0) !== sequence) return 'fenced'
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
  }
}

/** What is decided about packets of a lane that are still there, for whoever looks. */
export const decidedIn = async (bus: Bus, queue: string, lane: number): Promise<Decided> =>
  (await readLedger(bus, ledgerSubject(queue, lane)))?.document.decided ?? {}

async function readLedger(
  bus: Bus,
  subject: string,
): Promise<{ sequence: number; document: Document } | undefined> {
  const found = await insist(bus, subject, async () =>
    (await bus.jetstreamManager()).streams.getMessage(eventStream, { last_by_subj: subject }),
  )
  return found === null ? undefined : { sequence: found.seq, document: found.json<Document>() }
}
