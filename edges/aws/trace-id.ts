/**
 * X-Ray's tracing header, for a request that came without one.
 *
 * Source: X-Ray Developer Guide, "Tracing header": version, eight hexadecimal digits of the time in seconds, 24 of chance.
 * `Sampled=0`: nothing here records traces.
 */

/** `requestId` is a UUID: the chance in it is used once more, so that the two can be told to belong together. */
export function makeTraceId(requestId: string, nowMs: number): string {
  const seconds = Math.floor(nowMs / 1000)
    .toString(16)
    .padStart(8, '0')
  const start = requestId.slice(0, 8) + requestId.slice(9, 13) + requestId.slice(14, 18)
  const middle = requestId.slice(19, 23)
  const end = requestId.slice(24, 36)
  return `Root=1-${seconds}-${start}${middle}${end.slice(0, 4)};Parent=${middle}${end};Sampled=0`
}
