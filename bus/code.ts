/**
 * Code packages: object store `lambus_code`, by the SHA-256 of their bytes.
 *
 * A package is named after its content, so it never changes, and it is whole or it is not there: its chunks are sent
 * first, counted, and only then named. An upload that is interrupted leaves chunks that nobody finds. Of several uploads
 * of the same package at the same time one is named, and the others take their chunks back; nobody's reading is disturbed.
 *
 * The layout is the one that `nats object` and the clients' own object stores read. Their way of writing is not ours,
 * because it replaces: it purges the chunks of an earlier upload under whoever is reading them.
 * Source: NATS ADR-20, "JetStream based Object Stores".
 */
import { createHash } from 'node:crypto'
import {
  DiscardPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  StorageType,
} from '@nats-io/jetstream'
import { nuid } from 'nats'
import type { Bus } from './bus.ts'
import { BusError } from './bus-error.ts'
import { askOnce, insist, isUnanswered } from './insist.ts'
import { ensureStream } from './streams.ts'
import { anyObject, codeBucket, objectChunks, objectMeta, objectStream } from './subjects.ts'
import { openTail } from './tail.ts'

/** `sha256` is 64 hexadecimal digits, small letters. All throw BusError BUS_STORE_UNAVAILABLE, BUS_BAD_SUBJECT. */
export type Code = {
  has(sha256: string): Promise<boolean>
  /**
   * Stores a package, if it is not there already. `onProgress` hears how many bytes are safe. Throws BusError
   * BUS_DIGEST_MISMATCH when the bytes are not those of that name.
   */
  put(
    sha256: string,
    bytes: Uint8Array,
    onProgress?: (sentBytes: number, totalBytes: number) => void,
  ): Promise<void>
  /** The bytes, verified, or undefined. Throws BusError BUS_DIGEST_MISMATCH when what is stored is damaged. */
  get(sha256: string): Promise<Uint8Array | undefined>
  remove(sha256: string): Promise<void>
}

/** AWS writes a package's SHA-256 in base64, we name it in hexadecimal digits. */
export const hexOf = (base64: string): string => Buffer.from(base64, 'base64').toString('hex')

/** What is stored about a package. Source: ADR-20, object info. */
type Meta = {
  name: string
  bucket: string
  nuid: string
  size: number
  chunks: number
  digest: string
  mtime: string
  deleted: boolean
  options: { max_chunk_size: number }
}
type Found = { meta: Meta; sequence: number }

// ADR-20's default. Much more would hold up other messages of the connection behind a chunk.
const CHUNK_BYTES = 128 * 1024
// Two megabytes on their way: the server answers a chunk when it is on disk.
const CHUNKS_AT_ONCE = 16
// A link that breaks in the middle costs one attempt.
const ATTEMPTS = 5

const stream = objectStream(codeBucket)

/** Makes sure of the store. Throws BusError BUS_STREAM_UNFIT, BUS_STORE_UNAVAILABLE. */
export async function openCode(bus: Bus): Promise<Code> {
  await ensureStream(bus, {
    name: stream,
    subjects: anyObject(codeBucket),
    storage: StorageType.File,
    discard: DiscardPolicy.New,
    allow_rollup_hdrs: true,
    allow_direct: true,
  })

  async function find(sha256: string): Promise<Found | undefined> {
    const subject = metaSubject(sha256)
    const found = await insist(bus, subject, async () => {
      const manager = await bus.jetstreamManager()
      // By its leader: a replica may not know yet what has just been stored.
      return await manager.streams.getMessage(stream, { last_by_subj: subject })
    })
    return found === null ? undefined : { meta: found.json<Meta>(), sequence: found.seq }
  }

  async function findWhole(sha256: string): Promise<Found | undefined> {
    const found = await find(sha256)
    return found?.meta.deleted === true ? undefined : found
  }

  async function purgeChunks(upload: string): Promise<void> {
    const filter = objectChunks(codeBucket, upload)
    await insist(bus, filter, async () => {
      const manager = await bus.jetstreamManager()
      await manager.streams.purge(stream, { filter })
    })
  }

  async function upload(
    sha256: string,
    bytes: Uint8Array,
    onProgress: (sentBytes: number, totalBytes: number) => void,
  ): Promise<void> {
    const there = await find(sha256)
    if (there && !there.meta.deleted) return onProgress(bytes.length, bytes.length)
    const id = nuid.next()
    const chunkBytes = Math.min(CHUNK_BYTES, bus.nats.info?.max_payload ?? CHUNK_BYTES)
    const chunks = Math.ceil(bytes.length / chunkBytes)
    try {
      await sendChunks(objectChunks(codeBucket, id), bytes, chunkBytes, onProgress)
      const counted = await countChunks(objectChunks(codeBucket, id))
      if (counted !== chunks) throw new Error(`${counted} of ${chunks} chunks were stored`)
    } catch (error) {
      await purgeChunks(id)
      throw error
    }
    const meta: Meta = {
      name: sha256,
      bucket: codeBucket,
      nuid: id,
      size: bytes.length,
      chunks,
      digest: `SHA-256=${digestOf(sha256)}`,
      mtime: new Date().toISOString(),
      deleted: false,
      options: { max_chunk_size: chunkBytes },
    }
    // When this ends without an answer the package may have its name, so its chunks stay.
    if (!(await giveName(meta, there?.sequence ?? 0))) await purgeChunks(id)
    onProgress(bytes.length, bytes.length)
  }

  async function sendChunks(
    subject: string,
    bytes: Uint8Array,
    chunkBytes: number,
    onProgress: (sentBytes: number, totalBytes: number) => void,
  ): Promise<void> {
    for (let from = 0; from < bytes.length; from += CHUNKS_AT_ONCE * chunkBytes) {
      const to = Math.min(bytes.length, from + CHUNKS_AT_ONCE * chunkBytes)
      const sent: Promise<unknown>[] = []
      for (let at = from; at < to; at += chunkBytes) {
        // Never sent twice: a chunk that is repeated after the next one would be out of order.
        const chunk = bytes.subarray(at, Math.min(to, at + chunkBytes))
        sent.push(bus.jetstream.publish(subject, chunk, { retries: 1 }))
      }
      await Promise.all(sent)
      if (to < bytes.length) onProgress(to, bytes.length)
    }
  }

  async function countChunks(subject: string): Promise<number> {
    return await insist(bus, subject, async () => {
      const manager = await bus.jetstreamManager()
      const { state } = await manager.streams.info(stream, { subjects_filter: subject })
      return state.subjects?.[subject] ?? 0
    })
  }

  /** Whether it is this upload that the name now stands for. */
  async function giveName(meta: Meta, expectedSequence: number): Promise<boolean> {
    const subject = metaSubject(meta.name)
    return await insist(bus, subject, async () => {
      try {
        const expect = { lastSubjectSequence: expectedSequence }
        await bus.jetstream.publish(subject, JSON.stringify(meta), { expect })
        return true
      } catch (error) {
        if (!isConflict(error)) throw error
        return (await find(meta.name))?.meta.nuid === meta.nuid
      }
    })
  }

  async function download({ meta }: Found): Promise<Uint8Array | undefined> {
    const bytes = new Uint8Array(meta.size)
    let length = 0
    const hash = createHash('sha256')
    const whole = Promise.withResolvers<void>()
    const subject = objectChunks(codeBucket, meta.nuid)
    const cutOff = () => whole.reject(new LinkLost())
    const forget = bus.onReconnect(cutOff)
    const opening = openTail(
      bus,
      { stream, subject, from: 1 },
      {
        message({ data }) {
          hash.update(data)
          if (length + data.length <= bytes.length) bytes.set(data, length)
          length += data.length
        },
        caughtUp: () => whole.resolve(),
        broken: cutOff,
      },
    )
    opening.catch(whole.reject)
    try {
      await whole.promise
    } finally {
      forget()
      void opening.then(
        (tail) => tail.stop(),
        () => {},
      )
    }
    return length === meta.size && hash.digest('hex') === meta.name ? bytes : undefined
  }

  return {
    has: async (sha256) => (await findWhole(sha256)) !== undefined,

    async put(sha256, bytes, onProgress = () => {}) {
      const actual = createHash('sha256').update(bytes).digest('hex')
      if (actual !== sha256) {
        throw new BusError('BUS_DIGEST_MISMATCH', `the bytes of ${sha256} have digest ${actual}`)
      }
      for (let attempt = 1; ; attempt++) {
        try {
          await askOnce(bus, sha256, () => upload(sha256, bytes, onProgress))
          return
        } catch (error) {
          if (!isUnavailable(error) || attempt === ATTEMPTS) throw error
        }
      }
    },

    async get(sha256) {
      for (let attempt = 1; ; attempt++) {
        const found = await findWhole(sha256)
        if (found === undefined) return undefined
        try {
          const bytes = await download({ ...found, meta: { ...found.meta, name: sha256 } })
          if (bytes !== undefined) return bytes
        } catch (error) {
          if (!(error instanceof LinkLost) || attempt === ATTEMPTS) throw error
          continue
        }
        // Removed while it was being read, and perhaps stored anew; or it is damaged.
        const now = await findWhole(sha256)
        if (now?.meta.nuid === found.meta.nuid) {
          throw new BusError('BUS_DIGEST_MISMATCH', `what is stored as ${sha256} is something else`)
        }
      }
    },

    async remove(sha256) {
      const found = await find(sha256)
      if (found === undefined) return
      await insist(bus, metaSubject(sha256), async () => {
        const manager = await bus.jetstreamManager()
        // This very message: the package may have been removed and stored anew meanwhile.
        await manager.streams.deleteMessage(stream, found.sequence, false).catch(goneAlready)
      })
      await purgeChunks(found.meta.nuid)
    },
  }
}

class LinkLost extends Error {}

function metaSubject(sha256: string): string {
  if (/^[0-9a-f]{64}$/.test(sha256)) return objectMeta(codeBucket, sha256)
  throw new BusError('BUS_BAD_SUBJECT', `'${sha256}' is not a SHA-256 in hexadecimal`)
}

/** Source: ADR-20: base64url, padded. */
const digestOf = (sha256: string): string => `${Buffer.from(sha256, 'hex').toString('base64url')}=`

const isConflict = (error: unknown): boolean =>
  error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamWrongLastSequence

const isUnavailable = (error: unknown): boolean =>
  isUnanswered(error) || (error instanceof BusError && error.code === 'BUS_STORE_UNAVAILABLE')

// nats-server, errors.json: what MSG.DELETE answers for a sequence that is not in the stream (any more).
const SEQUENCE_NOT_FOUND = [10037, 10043, 10057]

function goneAlready(error: unknown): void {
  if (error instanceof JetStreamApiError && SEQUENCE_NOT_FOUND.includes(error.code)) return
  throw error
}
