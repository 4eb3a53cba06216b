/**
 * A refusal of the API: AWS's error type, sentence and status, from either door.
 */
import { Failure } from './failure.ts'

export class AwsFailure extends Failure {
  readonly status: number

  constructor(code: string, sentence: string, status: number) {
    super(code, `${sentence === '' ? code : sentence}${advice[code] ?? ''}`)
    this.status = status
  }
}

/** What to do where AWS's own sentence does not say it. */
const advice: Partial<Record<string, string>> = {
  UnrecognizedClientException:
    ' Set LAMBUS_ACCESS_KEY_ID and LAMBUS_SECRET_ACCESS_KEY to those the server was started with.',
  InvalidSignatureException:
    ' Is LAMBUS_SECRET_ACCESS_KEY the one that the server was started with?',
}

/** `type` is the header `x-amzn-errortype`, whose name may be followed by ':' and a URL. */
export function readAwsFailure(type: string | undefined, body: string, status: number): AwsFailure {
  const { Message, message, __type } = parse(body)
  const sentence = [Message, message].find((text) => typeof text === 'string') ?? body.slice(0, 500)
  const code = type ?? (typeof __type === 'string' ? __type : `HTTP ${status}`)
  return new AwsFailure(code.split(':')[0] ?? code, sentence, status)
}

function parse(body: string): Record<string, unknown> {
  try {
    const found: unknown = JSON.parse(body)
    return typeof found === 'object' && found !== null ? { ...found } : {}
  } catch {
    return {}
  }
}
