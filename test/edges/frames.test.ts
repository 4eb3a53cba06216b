import { spawn } from 'node:child_process'
import type { Duplex } from 'node:stream'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  encodeFrame,
  FrameError,
  frameReader,
  maxFrameBytes,
  writeFrame,
} from '../../edges/frames.ts'

type Frame = { kind: number; meta: string; payload: string }

const frame = fc.record({
  kind: fc.integer({ min: 1, max: 255 }),
  meta: fc.string({ unit: 'binary-ascii', maxLength: 200 }),
  payload: fc.oneof(
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc.integer({ min: 0, max: 300_000 }).map((length) => 'ü'.repeat(length)),
  ),
})

const collect = () => {
  const frames: Frame[] = []
  const push = frameReader((kind, meta, payload) =>
    frames.push({ kind, meta: meta.toString(), payload: payload.toString() }),
  )
  return { frames, push }
}

const header = (followingBytes: number, metaBytes: number) => {
  const bytes = Buffer.alloc(9)
  bytes.writeUInt32BE(followingBytes, 0)
  bytes.writeUInt32BE(metaBytes, 5)
  return bytes
}

describe('frames', () => {
  test('come out as they went in, however they are cut', () => {
    fc.assert(
      fc.property(
        fc.array(frame, { maxLength: 5 }),
        fc.array(fc.integer({ min: 1, max: 90_000 })),
        (sent, cuts) => {
          const bytes = Buffer.concat(
            sent.flatMap(({ kind, meta, payload }) =>
              encodeFrame(kind, meta, Buffer.from(payload)),
            ),
          )
          const { frames, push } = collect()
          let at = 0
          for (const cut of cuts) {
            push(bytes.subarray(at, at + cut))
            at = Math.min(at + cut, bytes.length)
          }
          for (; at < Math.min(bytes.length, 64); at++) push(bytes.subarray(at, at + 1))
          push(bytes.subarray(at))
          expect(frames).toEqual(sent)
        },
      ),
      { numRuns: 100 },
    )
  })

  test('of the largest answer are taken, and a payload in one piece is not copied', () => {
    const payload = Buffer.alloc(6_291_556, 1)
    const heard: Buffer[] = []
    const push = frameReader((_kind, _meta, bytes) => heard.push(bytes))
    const [head, body] = encodeFrame(3, '{}', payload)
    expect(body).toBe(payload)
    push(Buffer.concat([head as Uint8Array, payload]))
    push(Buffer.concat([head as Uint8Array, payload]))
    expect(heard.map((bytes) => bytes.length)).toEqual([6_291_556, 6_291_556])
  })

  test.each([
    ['longer than the limit', header(maxFrameBytes, 0)],
    ['shorter than its header', header(3, 0)],
    ['with more meta than frame', header(5, 1)],
  ])('%s are refused', (_what, bytes) => {
    expect(() => frameReader(() => {})(bytes)).toThrow(FrameError)
  })

  test('mean the same to both ends', async () => {
    const channel = fileURLToPath(new URL('../../runtimes/node/channel.cjs', import.meta.url))
    const echo = `const channel = require(${JSON.stringify(channel)}).openChannel(3, 4)
      for (let frame; (frame = channel.read()); ) {
        const { kind, meta, payload } = frame
        if (kind === 5) channel.writeOutput(payload)
        else channel.write(kind, meta, payload)
      }`
    const child = spawn(process.execPath, ['-e', echo], {
      stdio: ['ignore', 'inherit', 'inherit', 'pipe', 'pipe'],
    })
    const toIt = child.stdio[3] as Duplex
    const fromIt = child.stdio[4] as Duplex
    const { frames, push } = collect()
    let wake = () => {}
    fromIt.on('data', (chunk) => {
      push(chunk)
      wake()
    })
    await fc.assert(
      fc.asyncProperty(fc.array(frame, { minLength: 1, maxLength: 4 }), async (sent) => {
        frames.length = 0
        for (const { kind, meta, payload } of sent) {
          writeFrame(toIt, kind === 5 ? 6 : kind, meta, Buffer.from(payload))
        }
        while (frames.length < sent.length) {
          await new Promise<void>((resolve) => {
            wake = resolve
          })
        }
        expect(frames).toEqual(
          sent.map((each) => ({ ...each, kind: each.kind === 5 ? 6 : each.kind })),
        )
      }),
      { numRuns: 60 },
    )
    frames.length = 0
    const printed = Buffer.alloc(150_000, 'x')
    writeFrame(toIt, 5, '', printed)
    const piecesBytes = () => frames.reduce((bytes, each) => bytes + each.payload.length, 0)
    while (piecesBytes() < printed.length) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
    expect(frames.length).toBeGreaterThan(1)
    toIt.end()
    const code = await new Promise((resolve) => child.once('exit', resolve))
    expect(code).toBe(0)
  })
})
