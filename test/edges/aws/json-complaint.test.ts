import { isUtf8 } from 'node:buffer'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { jsonComplaint } from '../../../edges/aws/json-complaint.ts'

const complaint = (...parts: (string | number)[]) =>
  jsonComplaint(
    Buffer.concat(parts.map((part) => Buffer.from(typeof part === 'string' ? part : [part]))),
  )
    ?.replaceAll(/\[Source: REDACTED .*? disabled\); line: (\d+), column: (\d+)\]/g, '$1:$2')
    .replace('\n at ', ' @ ')

const values = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"

test('the place is told as Jackson tells it', () => {
  expect(jsonComplaint(Buffer.from('{'))).toBe(
    'Unexpected end-of-input: expected close marker for Object (start marker at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: 1])\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: 2]',
  )
})

describe('what is wrong, and where', () => {
  test.each<[(string | number)[], string]>([
    [['  '], 'No content to map due to end-of-input @ 1:3'],
    [['{"broken":'], 'Unexpected end-of-input within/between Object entries @ 1:11'],
    [['"abc'], 'Unexpected end-of-input in VALUE_STRING @ 1:5'],
    [["'a'"], `Unexpected character (''' (code 39)): expected a valid value ${values} @ 1:1`],
    [['hello world'], `Unrecognized token 'hello': was expecting ${values} @ 1:7`],
    [['nulll'], `Unrecognized token 'nulll': was expecting ${values} @ 1:6`],
    [
      ['{"a":1,}'],
      "Unexpected character ('}' (code 125)): was expecting double-quote to start field name @ 1:8",
    ],
    [['[1,]'], "Unexpected character (']' (code 93)): expected a value @ 1:4"],
    [
      ['{"a" 1}'],
      "Unexpected character ('1' (code 49)): was expecting a colon to separate field name and value @ 1:6",
    ],
    [
      ['[1 2]'],
      "Unexpected character ('2' (code 50)): was expecting comma to separate Array entries @ 1:4",
    ],
    [['{"a":1]'], "Unexpected close marker ']': expected '}' (for Object starting at 1:1) @ 1:8"],
    [['01'], 'Invalid numeric value: Leading zeroes not allowed @ 1:2'],
    [
      ['-x'],
      "Unexpected character ('x' (code 120)) in numeric value: expected digit (0-9) to follow minus sign, for valid numeric value @ 1:2",
    ],
    [['"\\x"'], "Unrecognized character escape 'x' (code 120) @ 1:4"],
    [
      ['"a\nb"'],
      'Illegal unquoted character ((CTRL-CHAR, code 10)): has to be escaped using backslash to be included in string value @ 1:4',
    ],
    [['\n\n {"a":\n x}'], `Unrecognized token 'x': was expecting ${values} @ 4:4`],
    [['"', 0xc0, 0x80, '"'], 'Invalid UTF-8 start byte 0xc0 @ 1:4'],
    [['"', 0xc3, 0x28, '"'], 'Invalid UTF-8 middle byte 0x28 @ 1:4'],
    [[0xef, 0xbb, 0xbf, '{}'], 'Invalid UTF-8 start byte 0xbb @ 1:3'],
  ])('%j', (parts, said) => {
    expect(complaint(...parts)).toBe(said)
  })
})

test('it complains about exactly the bytes that are not JSON in UTF-8', () => {
  const isJson = (bytes: Uint8Array) => {
    try {
      JSON.parse(Buffer.from(bytes).toString('utf8'))
      return isUtf8(bytes)
    } catch {
      return false
    }
  }
  const broken = fc
    .tuple(fc.json(), fc.nat(), fc.uint8Array({ maxLength: 3 }))
    .map(([json, at, put]) => {
      const bytes = Buffer.from(json)
      const cut = at % (bytes.length + 1)
      return Buffer.concat([bytes.subarray(0, cut), put, bytes.subarray(cut + (at % 3))])
    })
  fc.assert(
    fc.property(fc.oneof(broken, fc.uint8Array({ maxLength: 12 })), (bytes) => {
      expect(jsonComplaint(bytes) === undefined).toBe(isJson(bytes))
    }),
    { numRuns: 3000 },
  )
})

test('deep nesting is complained about, not fallen over', () => {
  expect(complaint('['.repeat(200_000))).toMatch(/expected close marker for Array/)
})
