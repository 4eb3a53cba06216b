/**
 * What functions write: one stream, a subject per function, the oldest go first.
 *
 * Writing is appending to a buffer. It is sent every now and then, one message per function, without waiting for an
 * acknowledgement: a line that was on its way when a link or a process died is lost, and no invocation ever waits for a
 * log. The buffer is bounded; what does not fit is dropped, counted, and said in the log itself.
 *
 * Reading pages through the stream by sequence, with no consumer on the server, so any number may read. Following is the
 * same, woken by the messages as they pass by and by a clock, since a message may pass before it is stored or be missed.
 *
 * A message holds one entry per line, each a JSON object: `{"atMs":…,"stream":"…","requestId":"…","text":"…"}`; what a
 * stream writes for one request between two messages is one entry. The order is that in which each process wrote; between processes it is that of their messages.
 */
import { DiscardPolicy, RetentionPolicy, StorageType, type StoredMsg } from '@nats-io/jetstream'
import { errors, nanos } from 'nats'
import type { Bus, Clock } from './bus.ts'
import { BusError } from './bus-error.ts'
import { insist } from './insist.ts'
import { ensureStream, streamExists } from './streams.ts'
import { anyLog, logStream, log as logSubject } from './subjects.ts'

/** `atMs`: milliseconds since the epoch. `stream`: CloudWatch's log stream, one per sandbox; `lambus` for what we have to say. */
export type LogEntry = { atMs: number; stream: string; requestId?: string; text: string }

export type LogWriter = {
  /** Throws BadSubjectToken for a name that cannot be a function's. */
  write(functionName: string, entry: LogEntry): void
  /** Entries that did not fit into the buffer so far. */
  readonly dropped: number
  /** Sends what is buffered, if the link is up. */
  close(): Promise<void>
}

// Each message is a write to the disk that the server waits for (`sync_interval: always`): with a quarter of this, functions
// that are invoked 7,000 times a second made about 50 of them. In UTF-8 it is 768 KiB at most, below NATS's default max_payload
// of 1 MiB.
const MESSAGE_CHARACTERS = 262_144
// What JSON adds to the text of an entry: its stream, its request id, its time.
const ENTRY_CHARACTERS = 80
// START, a few lines, END and REPORT of one invocation make one entry.
const MERGED_CHARACTERS = 16_384
// A longer text becomes several entries. Even if JSON makes six of every character, one fits into a message of its own.
const TEXT_CHARACTERS = 65_536
// What a busy worker may write during a restart of the server.
const BUFFER_CHARACTERS = 8 * 1024 * 1024
const PAGE_MESSAGES = 32
const POLL_MS = 1_000
// So that a follower notices soon that it shall stop, while the server is away.
const FOLLOWER_PATIENCE_MS = 2_000
// A message passes by a moment before it is stored.
const EAGER_MS = 500
const EAGER_POLL_MS = 25

/** Makes sure of the stream. `maxAgeMs`, `maxBytes`: what is kept of all logs together. Throws as `ensureStream` does. */
export const ensureLogs = (bus: Bus, limits: { maxAgeMs: number; maxBytes: number }) =>
  ensureStream(bus, {
    name: logStream,
    subjects: [anyLog],
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    discard: DiscardPolicy.Old,
    max_age: nanos(limits.maxAgeMs),
    max_bytes: limits.maxBytes,
    allow_direct: true,
  })

/** What waits to be sent of one function: whole messages, and the entries of the next one. */
type Batch = {
  subject: string
  messages: string[]
  entries: LogEntry[]
  /** The last entry of each stream: what follows for the same request is added to it. */
  last: Map<string, LogEntry>
  characters: number
  lost: number
}

/** `bufferCharacters`: default 8 Mi for all functions of this process. */
export function openLogWriter(
  bus: Bus,
  options: { flushEveryMs: number; clock: Clock; bufferCharacters?: number },
): LogWriter {
  const { flushEveryMs, clock, bufferCharacters = BUFFER_CHARACTERS } = options
  const batches = new Map<string, Batch>()
  let buffered = 0
  let dropped = 0
  let timer: unknown

  const seal = (batch: Batch) => {
    batch.messages.push(...messagesOf(batch.entries))
    batch.entries = []
    batch.last.clear()
    batch.characters = 0
  }

  const flush = () => {
    clock.clearTimer(timer)
    timer = undefined
    if (!bus.up) return
    for (const batch of batches.values()) {
      if (batch.lost > 0) batch.entries.push(notice(batch.lost, clock.nowMs()))
      seal(batch)
      for (const message of batch.messages) bus.publish(batch.subject, message)
    }
    batches.clear()
    buffered = 0
  }
  const forget = bus.onReconnect(flush)

  const batchOf = (functionName: string): Batch => {
    const known = batches.get(functionName)
    if (known !== undefined) return known
    const subject = logSubject(functionName)
    const batch: Batch = {
      subject,
      messages: [],
      entries: [],
      last: new Map(),
      characters: 0,
      lost: 0,
    }
    batches.set(functionName, batch)
    return batch
  }

  const append = (functionName: string, entry: LogEntry) => {
    // Not bytes: to count those would mean to go through every text once more.
    const characters = entry.text.length + ENTRY_CHARACTERS
    let batch = batchOf(functionName)
    if (batch.characters + characters > MESSAGE_CHARACTERS) {
      seal(batch)
      flush()
      batch = batchOf(functionName)
    }
    if (buffered + characters > bufferCharacters) {
      dropped += 1
      batch.lost += 1
      return
    }
    batch.characters += characters
    buffered += characters
    const last = batch.last.get(entry.stream)
    if (
      last?.requestId !== undefined &&
      last.requestId === entry.requestId &&
      last.text.length + entry.text.length < MERGED_CHARACTERS
    ) {
      last.text += entry.text
      return
    }
    const own = { ...entry }
    batch.entries.push(own)
    batch.last.set(entry.stream, own)
  }

  return {
    get dropped() {
      return dropped
    },
    write(functionName, entry) {
      if (entry.text.length <= TEXT_CHARACTERS) append(functionName, entry)
      else for (const text of pieces(entry.text)) append(functionName, { ...entry, text })
      timer ??= clock.setTimer(flush, flushEveryMs)
    },
    async close() {
      forget()
      flush()
      if (bus.up) await bus.nats.flush().catch(() => {})
    },
  }
}

const notice = (lost: number, atMs: number): LogEntry => ({
  atMs,
  stream: 'lambus',
  text: `${lost} log entries were dropped here: they came faster than they could be sent`,
})

/** What JSON makes of the entries may be longer than they were counted: several messages then. */
function messagesOf(entries: LogEntry[]): string[] {
  const messages: string[] = []
  let lines: string[] = []
  let characters = 0
  const close = () => {
    if (lines.length > 0) messages.push(lines.join('\n'))
    lines = []
    characters = 0
  }
  for (const entry of entries) {
    const line = JSON.stringify(entry)
    if (characters + line.length > MESSAGE_CHARACTERS) close()
    lines.push(line)
    characters += line.length + 1
  }
  close()
  return messages
}

function pieces(text: string): string[] {
  const found: string[] = []
  for (let from = 0; from < text.length; ) {
    let to = from + TEXT_CHARACTERS
    // Not between the halves of a character.
    if (to < text.length && (text.codePointAt(to - 1) ?? 0) > 0xffff) to -= 1
    found.push(text.slice(from, to))
    from = to
  }
  return found
}

export type LogQuery = {
  /** Only entries written at or after this moment, milliseconds since the epoch. Default: everything that is kept. */
  sinceMs?: number
  requestId?: string
  /** Goes on with what is written from now on, until `signal` says stop. Default: ends with the newest entry. */
  follow?: boolean
  /** Ends the reading, without an exception. */
  signal?: AbortSignal
}

// The server's clock and those of the processes that write may differ by this much.
const CLOCK_SKEW_MS = 60_000

/**
 * Throws BusError BUS_STORE_UNAVAILABLE while reading when JetStream does not answer, unless it follows: then it waits. A
 * stream that nobody has made yet is an empty log.
 */
export async function* readLogs(
  bus: Bus,
  functionName: string,
  query: LogQuery = {},
): AsyncGenerator<LogEntry, void, undefined> {
  const { sinceMs, requestId, follow = false, signal } = query
  const subject = logSubject(functionName)
  const doorbell = follow ? openDoorbell(bus, subject, signal) : undefined
  let from: From =
    sinceMs === undefined ? { seq: 1 } : { start_time: new Date(sinceMs - CLOCK_SKEW_MS) }
  try {
    while (!signal?.aborted) {
      const page = await readPage(bus, subject, from, follow)
      for (const message of page) {
        for (const entry of readEntries(message)) {
          if (signal?.aborted) return
          if (requestId !== undefined && entry.requestId !== requestId) continue
          if (sinceMs === undefined || entry.atMs >= sinceMs) yield entry
        }
        from = { seq: message.seq + 1 }
      }
      if (page.length > 0) continue
      if (doorbell === undefined) return
      await doorbell.rung()
    }
  } finally {
    doorbell?.stop()
  }
}

type From = { seq: number } | { start_time: Date }

async function readPage(bus: Bus, subject: string, from: From, follow: boolean) {
  try {
    const patienceMs = follow ? FOLLOWER_PATIENCE_MS : undefined
    return await insist(bus, subject, () => askForPage(bus, subject, from), patienceMs)
  } catch (error) {
    // Who follows goes on following when the server is back.
    if (follow && error instanceof BusError && error.code === 'BUS_STORE_UNAVAILABLE') return []
    throw error
  }
}

async function askForPage(bus: Bus, subject: string, from: From): Promise<StoredMsg[]> {
  const manager = await bus.jetstreamManager()
  const options = { ...from, batch: PAGE_MESSAGES, next_by_subj: subject }
  try {
    const page: StoredMsg[] = []
    for await (const message of await manager.direct.getBatch(logStream, options)) {
      page.push(message)
    }
    return page
  } catch (error) {
    const status = (error as { code?: unknown }).code
    if (status === 404) return []
    if (status !== 503) throw error
    // Nobody answers for the stream: it has no leader, or nobody has made it yet.
    if (!(await streamExists(bus, logStream))) return []
    throw new errors.TimeoutError({ cause: error })
  }
}

/** What somebody else published there is shown as it is. */
function readEntries(message: StoredMsg): LogEntry[] {
  const lines = message.string().split('\n')
  return lines.map(
    (line) => readEntry(line) ?? { atMs: message.time.getTime(), stream: 'foreign', text: line },
  )
}

function readEntry(line: string): LogEntry | undefined {
  try {
    const entry = JSON.parse(line) as LogEntry
    return typeof entry.atMs === 'number' && typeof entry.text === 'string' ? entry : undefined
  } catch {
    return undefined
  }
}

/** Says when it is worth looking again: something passed by, some time has passed, or it is over. */
function openDoorbell(bus: Bus, subject: string, signal: AbortSignal | undefined) {
  let eagerUntil = 0
  let wake = () => {}
  const ring = () => {
    eagerUntil = performance.now() + EAGER_MS
    wake()
  }
  const subscription = bus.subscribe(subject, ring)
  const forget = bus.onReconnect(ring)
  const over = () => wake()
  signal?.addEventListener('abort', over)
  return {
    rung: () =>
      new Promise<void>((resolve) => {
        const isEager = performance.now() < eagerUntil
        const timer = setTimeout(resolve, isEager ? EAGER_POLL_MS : POLL_MS)
        wake = () => {
          clearTimeout(timer)
          resolve()
        }
        if (signal?.aborted) wake()
      }),
    stop() {
      subscription.stop()
      forget()
      signal?.removeEventListener('abort', over)
    },
  }
}
