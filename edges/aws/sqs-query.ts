/**
 * SQS in the Query protocol: a form with `Action=<Operation>`, and XML back. What botocore spoke until 2023, and with it
 * Debian's boto3 and AWS CLI.
 *
 * Source: Smithy specification, "AWS query protocol"; SQS Developer Guide, "Making Query API requests".
 */
import type { Input } from './constraints.ts'
import { badValue, faultOf, type SqsRefusal } from './sqs-errors.ts'
import type { WireAnswer } from './sqs-json.ts'
import type { SqsShape, SqsStructure } from './sqs-operations.ts'

/** The only one there is. */
export const queryVersion = '2012-11-05'
const namespace = `http://queue.amazonaws.com/doc/${queryVersion}/`

/** A form as a tree: `a.1.b=c` is the text `c` at `a`, `1`, `b`. */
type Tree = { text?: string; inner?: Map<string, Tree> }

/** A value that is none of the type that the model has there. */
class WrongValue extends Error {
  readonly refusal: SqsRefusal
  constructor(refusal: SqsRefusal) {
    super(refusal.message)
    this.refusal = refusal
  }
}

/** The input as the JSON protocol would have it. */
export function readSqsQuery(shape: SqsStructure, form: URLSearchParams): Input | SqsRefusal {
  try {
    return readStructure(shape, grow(form))
  } catch (error) {
    if (error instanceof WrongValue) return error.refusal
    throw error
  }
}

function grow(form: URLSearchParams): Tree {
  const root: Tree = {}
  for (const [name, text] of form) {
    let at = root
    for (const part of name.split('.')) {
      at.inner ??= new Map()
      const next = at.inner.get(part) ?? {}
      at.inner.set(part, next)
      at = next
    }
    at.text = text
  }
  return root
}

function read(shape: SqsShape, name: string, tree: Tree): unknown {
  switch (shape.kind) {
    case 'text':
    case 'bytes':
      return tree.text ?? ''
    case 'integer':
      return readInteger(name, tree.text ?? '')
    case 'boolean':
      return tree.text === 'true'
    case 'list':
      return inOrder(tree).map((one) => read(shape.of, name, one))
    case 'map':
      return Object.fromEntries(
        inOrder(tree).map(({ inner }) => [
          inner?.get(shape.key)?.text ?? '',
          read(shape.of, name, inner?.get(shape.value) ?? {}),
        ]),
      )
    case 'structure':
      return readStructure(shape, tree)
  }
}

function readStructure(shape: SqsStructure, { inner }: Tree): Input {
  const input: Input = {}
  for (const [name, member] of Object.entries(shape.members)) {
    // botocore has the name of the elements, some older clients that of the member.
    const under = 'as' in member ? (inner?.get(member.as) ?? inner?.get(name)) : inner?.get(name)
    if (under !== undefined) input[name] = read(member, name, under)
  }
  return input
}

/** Elements are numbered from 1. */
const inOrder = ({ inner }: Tree): Tree[] =>
  [...(inner ?? [])]
    .filter(([index]) => /^\d{1,4}$/.test(index))
    .sort(([one], [other]) => Number(one) - Number(other))
    .map(([, element]) => element)

function readInteger(name: string, text: string): number {
  if (/^-?\d{1,10}$/.test(text)) return Number(text)
  throw new WrongValue(badValue(text, name, `${name} must be an integer.`))
}

export function writeSqsQuery(
  operation: string,
  shape: SqsStructure,
  output: Input,
  requestId: string,
): WireAnswer {
  const hasResult = Object.keys(shape.members).length > 0
  const result = hasResult ? element(`${operation}Result`, writeStructure(shape, output)) : ''
  const metadata = element('ResponseMetadata', element('RequestId', escaped(requestId)))
  return {
    status: 200,
    headers: { 'content-type': 'text/xml' },
    body: `<?xml version="1.0"?><${operation}Response xmlns="${namespace}">${result}${metadata}</${operation}Response>`,
  }
}

function writeStructure(shape: SqsStructure, value: Input): string {
  return Object.entries(shape.members)
    .filter(([name]) => value[name] !== undefined)
    .map(([name, member]) => write(name, member, value[name]))
    .join('')
}

function write(name: string, shape: SqsShape, value: unknown): string {
  switch (shape.kind) {
    case 'list':
      return (value as unknown[]).map((one) => write(shape.as, shape.of, one)).join('')
    case 'map':
      return Object.entries(value as Input)
        .map(([key, one]) =>
          element(shape.as, element(shape.key, escaped(key)) + write(shape.value, shape.of, one)),
        )
        .join('')
    case 'structure':
      return element(name, writeStructure(shape, value as Input))
    default:
      return element(name, escaped(String(value)))
  }
}

export function refuseInQuery(refusal: SqsRefusal, requestId: string): WireAnswer {
  const { queryCode, status, queryMessage } = refusal
  const error = [
    element('Type', faultOf(status)),
    element('Code', queryCode),
    element('Message', escaped(queryMessage)),
    '<Detail/>',
  ].join('')
  return {
    status,
    headers: { 'content-type': 'text/xml' },
    body: `<?xml version="1.0"?><ErrorResponse xmlns="${namespace}">${element('Error', error)}${element('RequestId', escaped(requestId))}</ErrorResponse>`,
  }
}

const element = (name: string, content: string) => `<${name}>${content}</${name}>`

const entities: Record<string, string> = {
  '<': '&lt;',
  '>': '&gt;',
  '&': '&amp;',
  '"': '&quot;',
  // A parser would make a line feed of it.
  '\r': '&#xD;',
}
/** What cannot stand in XML 1.0 at all can only come from a name that is said back. */
const escaped = (text: string): string =>
  text
    .replaceAll(/[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/gu, '')
    .replaceAll(/[<>&"\r]/g, (character) => entities[character] ?? '')
