/**
 * SQS in JSON 1.0: `X-Amz-Target: AmazonSQS.<Operation>` and a body of JSON.
 *
 * Source: Smithy specification, "AWS JSON 1.0 protocol" and "awsQueryCompatible trait" (the header of errors).
 */
import type { Input } from './constraints.ts'
import { isRefusal } from './errors.ts'
import { readJsonInput } from './json-input.ts'
import { faultOf, refuseSqs, type SqsRefusal, shapeOf } from './sqs-errors.ts'
import type { SqsShape, SqsStructure } from './sqs-operations.ts'

export const targetPrefix = 'AmazonSQS.'

/** A JSON type that the model does not have there. */
class WrongType extends Error {}

/** The input as the model has it: members that it does not know are left out, and so are nulls. */
export function readSqsJson(shape: SqsStructure, body: Uint8Array): Input | SqsRefusal {
  const given = readJsonInput(body)
  if (isRefusal(given)) return refuseSqs('SerializationException', given.message ?? '')
  try {
    return readStructure(shape, given)
  } catch (error) {
    if (error instanceof WrongType) return refuseSqs('SerializationException', error.message)
    throw error
  }
}

function read(shape: SqsShape, value: unknown): unknown {
  switch (shape.kind) {
    case 'text':
      return expect(value, typeof value === 'string', 'STRING_VALUE')
    case 'bytes':
      return expect(value, isBase64(value), 'STRING_VALUE')
    case 'integer':
      return expect(value, Number.isSafeInteger(value), 'NUMBER_VALUE')
    case 'boolean':
      return expect(value, typeof value === 'boolean', 'TRUE_VALUE')
    case 'list':
      expect(value, Array.isArray(value), 'START_ARRAY')
      return (value as unknown[]).map((one) => read(shape.of, one))
    case 'map':
      return Object.fromEntries(
        Object.entries(object(value)).map(([key, one]) => [key, read(shape.of, one)]),
      )
    case 'structure':
      return readStructure(shape, object(value))
  }
}

function readStructure(shape: SqsStructure, given: Input): Input {
  const input: Input = {}
  for (const [name, member] of Object.entries(shape.members)) {
    const value = given[name]
    if (value !== undefined && value !== null) input[name] = read(member, value)
  }
  return input
}

function object(value: unknown): Input {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  return expect(value, isObject, 'START_OBJECT') as Input
}

function expect(value: unknown, holds: boolean, wanted: string): unknown {
  if (!holds) throw new WrongType(`Unexpected JSON type: ${wanted} is expected here.`)
  return value
}

const isBase64 = (value: unknown) =>
  typeof value === 'string' && /^(?:[\w+/]{4})*(?:[\w+/]{2}==|[\w+/]{3}=)?$/.test(value)

export type WireAnswer = { status: number; headers: Record<string, string>; body: string }

const contentType = 'application/x-amz-json-1.0'

export const writeSqsJson = (output: object): WireAnswer => ({
  status: 200,
  headers: { 'content-type': contentType },
  body: JSON.stringify(output),
})

export function refuseInJson({ refused, queryCode, status, message }: SqsRefusal): WireAnswer {
  return {
    status,
    headers: {
      'content-type': contentType,
      'x-amzn-errortype': refused,
      'x-amzn-query-error': `${queryCode};${faultOf(status)}`,
    },
    body: JSON.stringify({ __type: shapeOf(refused), message }),
  }
}
