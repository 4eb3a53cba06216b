/** lambda-semantics.md §4.6, §1.2; stackd, recursion_execution (2026-09-28). */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { next, visitLimit, visits } from '../../../edges/aws/lineage.ts'

const root = 'Root=1-6aba3a9c-0ad723aa6f28be0c1799046b;Parent=4bc416e7d2fef21a;Sampled=0'
const arn = (name: string | number) => `arn:aws:lambda:us-east-1:000000000000:function:${name}`
const lineageOf = (traceId: string) => /Lineage=(.*)$/.exec(traceId)?.[1]

/** Invokes one function after another until one is refused; tells how often each was invoked. */
function follow(chain: Iterable<string | number>, most: number) {
  const times = new Map<string | number, number>()
  let traceId = root
  let hops = 0
  for (const name of chain) {
    if (hops >= most) break
    if (visits(traceId, arn(name)) >= visitLimit) return { refused: name, hops, times }
    traceId = next(traceId, arn(name))
    times.set(name, (times.get(name) ?? 0) + 1)
    hops++
  }
  return { refused: undefined, hops, times }
}

function* rounds(tail: number, circle: number) {
  for (let i = 0; i < tail; i++) yield `tail${i}`
  while (true) for (let i = 0; i < circle; i++) yield `circle${i}`
}

describe('the header', () => {
  // stackd, recursion_execution: "Lineage=1:b695919f:0" … "Lineage=16:b695919f:15"
  test('counts as recorded, and keeps all else', () => {
    let traceId = root
    for (let n = 1; n <= 16; n++) {
      expect(visits(traceId, arn('f'))).toBe(n - 1)
      traceId = next(traceId, arn('f'))
      expect(traceId).toMatch(new RegExp(`^${root};Lineage=${n}:[0-9a-f]{8}:${n - 1}$`))
    }
    expect(visits(traceId, arn('f'))).toBe(visitLimit)
  })

  test('keeps what stands behind the lineage', () => {
    const traceId = next('Root=1-a; Lineage=1:00000000:0; Self=1-b', arn('f'))
    expect(traceId).toMatch(/^Root=1-a; Lineage=2:[0-9a-f]{8}:0; Self=1-b$/)
  })

  // AWS's own earlier forms, seen in public logs of 2023 and 2024; and what anybody may send
  test.each([
    'Lineage=a87bd80c:0',
    'Lineage=aae260cf:0|74085691:0',
    'Lineage=',
    'Lineage=-1:00000000:0',
    'Lineage=1:0000000G:0',
  ])('with %s begins anew', (other) => {
    expect(visits(`${root};${other}`, arn('f'))).toBe(0)
    expect(lineageOf(next(`${root};${other}`, arn('f')))).toMatch(/^1:[0-9a-f]{8}:0$/)
  })

  test('is not mistaken in what only looks like it', () => {
    expect(next('MyLineage=5:00000000:5', arn('f'))).toMatch(
      /^MyLineage=5:00000000:5;Lineage=1:[0-9a-f]{8}:0$/,
    )
  })

  // OpenTelemetry's propagators for X-Ray take 32767 and 255 at most
  test('does not grow without end', () => {
    const [full = ''] = /[0-9a-f]{8}/.exec(lineageOf(next(root, arn('f'))) ?? '') ?? []
    expect(lineageOf(next(`${root};Lineage=32767:${full}:255`, arn('f')))).toBe(`32767:${full}:255`)
  })

  test('is read and written without an exception whatever it is', () => {
    const part = fc.oneof(fc.string(), fc.constantFrom('Lineage=', ';', '1:', 'ffffffff:', '0'))
    fc.assert(
      fc.property(fc.array(part), (parts) => {
        const traceId = parts.join('')
        const after = next(traceId, arn('f'))
        expect(after.length).toBeLessThanOrEqual(traceId.length + 28)
        expect(visits(after, arn('f'))).toBeGreaterThanOrEqual(0)
      }),
    )
  })
})

describe('a chain', () => {
  // §4.6; stackd, recursion_execution: 16 executions under Terminate
  test('of one function is stopped at its 17th invocation', () => {
    expect(follow(rounds(0, 1), 100)).toMatchObject({ refused: 'circle0', hops: 16 })
  })

  // Developer Guide: "approximately 16 times"
  test('of two that invoke each other is stopped at the 17th of one of them', () => {
    const { refused, times } = follow(rounds(0, 2), 100)
    expect(times.get(refused ?? '')).toBe(16)
  })

  test('that goes round is stopped, whatever came before it', () => {
    fc.assert(
      fc.property(fc.nat(40), fc.integer({ min: 1, max: 12 }), (tail, circle) => {
        const { refused, hops } = follow(rounds(tail, circle), 2_000)
        expect(refused).toBeDefined()
        expect(hops).toBeLessThanOrEqual(4 * tail + 80 * circle)
      }),
    )
  })

  test('is never stopped before the function was invoked 16 times', () => {
    const names = fc.array(fc.nat(6), { maxLength: 300 })
    fc.assert(
      fc.property(names, (chain) => {
        const { refused, times } = follow(chain, 1_000)
        if (refused !== undefined) expect(times.get(refused)).toBeGreaterThanOrEqual(16)
      }),
    )
  })

  test('that is long and does not go round is not stopped', () => {
    expect(follow(Array(5_000).keys(), 10_000)).toMatchObject({ refused: undefined, hops: 5_000 })
  })
})
