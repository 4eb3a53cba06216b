/** What comes in over SQS's two protocols, whatever it is. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { defaultSettings, withAttributes } from '../../../edges/aws/sqs-attributes.ts'
import { isSqsRefusal } from '../../../edges/aws/sqs-errors.ts'
import { readSqsJson } from '../../../edges/aws/sqs-json.ts'
import { readNewMessage, readReceive } from '../../../edges/aws/sqs-messages.ts'
import { nameInUrl } from '../../../edges/aws/sqs-names.ts'
import {
  type SqsOperation,
  type SqsShape,
  type SqsStructure,
  sqsOperations,
} from '../../../edges/aws/sqs-operations.ts'
import { readSqsQuery, writeSqsQuery } from '../../../edges/aws/sqs-query.ts'
import { readReceipt, writeReceipt } from '../../../edges/aws/sqs-receipt.ts'
import '../../seed.ts'

const place = { region: 'us-east-1', account: '000000000000' }
const operations = Object.keys(sqsOperations) as SqsOperation[]
const anyOperation = fc.constantFrom(...operations)

/** An input of a shape, as the JSON protocol has it. */
function inputOf(shape: SqsShape): fc.Arbitrary<unknown> {
  switch (shape.kind) {
    case 'text':
      return fc.string({ unit: 'binary', maxLength: 20 })
    case 'bytes':
      return fc.uint8Array({ maxLength: 9 }).map((bytes) => Buffer.from(bytes).toString('base64'))
    case 'integer':
      return fc.integer({ min: -99_999, max: 99_999 })
    case 'boolean':
      return fc.boolean()
    case 'list':
      return fc.array(inputOf(shape.of), { minLength: 1, maxLength: 12 })
    case 'map':
      return fc
        .uniqueArray(fc.tuple(fc.string({ maxLength: 9 }), inputOf(shape.of)), {
          selector: ([key]) => key,
          minLength: 1,
          maxLength: 3,
        })
        .map((entries) => Object.fromEntries(entries))
    case 'structure':
      return structureOf(shape)
  }
}
const structureOf = ({ members }: SqsStructure): fc.Arbitrary<Record<string, unknown>> =>
  fc
    .record(
      Object.fromEntries(Object.entries(members).map(([name, member]) => [name, inputOf(member)])),
      { requiredKeys: [] },
    )
    .map((made) => ({ ...made }))

/** The form that a client of the Query protocol makes of an input. */
function formOf(shape: SqsShape, name: string, value: unknown, form: URLSearchParams): void {
  if (shape.kind === 'list') {
    for (const [index, one] of (value as unknown[]).entries()) {
      formOf(shape.of, `${name}.${index + 1}`, one, form)
    }
  } else if (shape.kind === 'map') {
    for (const [index, [key, one]] of Object.entries(value as object).entries()) {
      form.set(`${name}.${index + 1}.${shape.key}`, key)
      formOf(shape.of, `${name}.${index + 1}.${shape.value}`, one, form)
    }
  } else if (shape.kind === 'structure') {
    for (const [member, one] of Object.entries(value as object)) {
      const inner = shape.members[member] as SqsShape
      const under = 'as' in inner ? inner.as : member
      formOf(inner, name === '' ? under : `${name}.${under}`, one, form)
    }
  } else form.set(name, String(value))
}

/** Without what the Query protocol cannot say: an empty structure in a list or a map. */
const isSayable = (value: unknown): boolean =>
  typeof value !== 'object' ||
  value === null ||
  (Object.keys(value).length > 0 && Object.values(value).every(isSayable))

describe('both protocols', () => {
  test('mean the same input', () => {
    const asked = anyOperation.chain((operation) =>
      structureOf(sqsOperations[operation].input)
        .filter((input) => Object.values(input).every(isSayable))
        .map((input) => ({ operation, input })),
    )
    fc.assert(
      fc.property(asked, ({ operation, input }) => {
        const shape = sqsOperations[operation].input
        const form = new URLSearchParams()
        formOf(shape, '', input, form)
        // What goes over the wire are bytes, and half a surrogate is none.
        const body = Buffer.from(JSON.stringify(input))
        expect(readSqsQuery(shape, new URLSearchParams(form.toString()))).toEqual(
          readSqsJson(shape, body),
        )
      }),
      { numRuns: 300 },
    )
  })

  test('read nothing else, and throw at nothing', () => {
    fc.assert(
      fc.property(anyOperation, fc.json(), fc.string(), (operation, json, text) => {
        const { input } = sqsOperations[operation]
        readSqsJson(input, Buffer.from(json))
        readSqsJson(input, Buffer.from(text))
        readSqsQuery(input, new URLSearchParams(text))
        const names = fc.sample(fc.stringMatching(/^(Entries|Attribute|Tag|\d|\.)*$/), 3)
        readSqsQuery(
          input,
          new URLSearchParams(names.map((name): [string, string] => [name, text])),
        )
      }),
      { numRuns: 300 },
    )
  })

  test('answers are XML whatever stands in them', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const { output } = sqsOperations.ReceiveMessage
        const { body } = writeSqsQuery(
          'ReceiveMessage',
          output,
          { Messages: [{ Body: text }] },
          'r',
        )
        expect(body).toMatch(/<Body>(?:[^<>\p{Cc}]|[\t\n\u{7F}-\u{9F}])*<\/Body><\/Message>/u)
      }),
    )
  })
})

describe('receipt handles', () => {
  const delivery = {
    consumer: 'q_i',
    deliveries: 2,
    sequence: 7,
    tokens: ['2', '7', '9', '1795615324048831891', '0'],
  }

  test('are read by the queue that wrote them', () => {
    const handle = writeReceipt({ delivery, receivedAtMs: 5 })
    expect(readReceipt(handle, 'q_i')).toEqual({ delivery, receivedAtMs: 5 })
    expect(isSqsRefusal(readReceipt(handle, 'q_j'))).toBe(true)
  })

  test('that were changed in one character are none', () => {
    const handle = writeReceipt({ delivery, receivedAtMs: 5 })
    // The last ones hold bits that do not count.
    const at = fc.integer({ min: 0, max: handle.length - 5 })
    fc.assert(
      fc.property(at, fc.constantFrom(...'ABCxyz019'), (index, character) => {
        if (handle[index] === character) return
        const changed = handle.slice(0, index) + character + handle.slice(index + 1)
        expect(isSqsRefusal(readReceipt(changed, 'q_i'))).toBe(true)
      }),
    )
  })

  test('are nothing that somebody made up', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(isSqsRefusal(readReceipt(text, 'q_i'))).toBe(true)
      }),
    )
  })
})

test('no value of an attribute, no URL and no member ends the reader', () => {
  const names = [...Object.keys(Object.prototype), 'RedrivePolicy', 'RedriveAllowPolicy', 'Policy']
  fc.assert(
    fc.property(
      fc.constantFrom(...names, 'DelaySeconds'),
      fc.json(),
      fc.string(),
      (name, json, text) => {
        withAttributes(defaultSettings, { [name]: json }, place)
        withAttributes(defaultSettings, { [name]: text, [text]: text }, place)
        nameInUrl(place, text)
        readReceive({ AttributeNames: [text], MessageAttributeNames: [text] }, defaultSettings)
        const MessageAttributes = { [text]: { DataType: text, StringValue: text } }
        readNewMessage({ MessageBody: text, MessageAttributes }, defaultSettings)
      },
    ),
  )
})
