import { expect, test } from 'vitest'
import { endLine, logStreamName, logTail, reportLine, startLine } from '../../edges/log-lines.ts'

const requestId = '8f507cfc-xmpl-4697-b07a-ac58fc914c95'
const warm = { requestId, durationMs: 2.03, memoryMb: 128, maxMemoryBytes: 37 * 1_048_576 }

test('START and END are as recorded (§7.6)', () => {
  expect(startLine(requestId, '$LATEST')).toBe(`START RequestId: ${requestId} Version: $LATEST\n`)
  expect(endLine(requestId)).toBe(`END RequestId: ${requestId}\n`)
})

test('REPORT of a cold start bills the init too, as recorded (§7.6, §3.4)', () => {
  expect(reportLine({ ...warm, initDurationMs: 79.22 })).toBe(
    `REPORT RequestId: ${requestId}\tDuration: 2.03 ms\tBilled Duration: 82 ms\tMemory Size: 128 MB\tMax Memory Used: 37 MB\tInit Duration: 79.22 ms\t\n`,
  )
})

test('REPORT of a warm invocation has no Init Duration (§7.6)', () => {
  expect(reportLine(warm)).toBe(
    `REPORT RequestId: ${requestId}\tDuration: 2.03 ms\tBilled Duration: 3 ms\tMemory Size: 128 MB\tMax Memory Used: 37 MB\t\n`,
  )
})

test.each([
  [2, 2],
  [2.001, 2],
  [2.01, 3],
  [0.4, 1],
])('%d ms are billed as %i', (durationMs, billed) => {
  expect(reportLine({ ...warm, durationMs })).toContain(`Billed Duration: ${billed} ms`)
})

test('REPORT of a timeout and of a crash ends with Status and Error Type (§7.6, §1.5)', () => {
  expect(reportLine({ ...warm, durationMs: 3000, failure: { status: 'timeout' } })).toMatch(
    /Duration: 3000\.00 ms\tBilled Duration: 3000 ms\t.*\tMax Memory Used: 37 MB\tStatus: timeout\n$/,
  )
  expect(
    reportLine({ ...warm, failure: { status: 'error', errorType: 'Runtime.OutOfMemory' } }),
  ).toMatch(/\tMax Memory Used: 37 MB\tStatus: error\tError Type: Runtime\.OutOfMemory\n$/)
})

test('a log stream is named by day, version and sandbox (§7.6)', () => {
  const at = new Date('2026-03-04T23:59:59.999Z')
  expect(logStreamName(at, '$LATEST', 'ab'.repeat(16))).toBe(
    `2026/03/04/[$LATEST]${'ab'.repeat(16)}`,
  )
})

const decode = (base64: string) => Buffer.from(base64, 'base64').toString()

test('a tail is the last 4,096 bytes of all that was added (§1.6)', () => {
  const tail = logTail()
  let all = ''
  for (let n = 0; n < 5000; n++) {
    tail.add(`line ${n}\n`)
    all += `line ${n}\n`
  }
  tail.add(Buffer.from('end\n'))
  expect(decode(tail.read())).toBe(`${all}end\n`.slice(-4096))
  tail.add('x'.repeat(100_000))
  expect(decode(tail.read())).toBe('x'.repeat(4096))
})

test('a tail that cuts a character has the replacement character there (§1.6)', () => {
  const tail = logTail()
  tail.add(`${'€'.repeat(2000)}!`)
  expect(decode(tail.read())).toMatch(/^\ufffd*€+!$/)
  tail.add(Buffer.from([0xff, 0x41]))
  expect(decode(tail.read())).toMatch(/\ufffdA$/)
})

test('a tail keeps what was added, also when its buffer is used again', () => {
  const tail = logTail()
  const buffer = Buffer.from('first')
  tail.add(buffer)
  buffer.fill('x')
  expect(decode(tail.read())).toBe('first')
})
