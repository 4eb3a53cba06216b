/**
 * X-Ray's tracing header, for a request that came without one.
 *
 * Source: X-Ray Developer Guide, "Tracing header": version, eight hexadecimal digits of the time in seconds, 24 of chance.
 * `Sampled=0`: nothing here records traces.
 */

/** `requestId` is a UUID: the chance in it is used once more, so that the two can be told to belong together. */
export function makeTraceId(requestId: string, nowMs: number): string {
  const chance = requestId.replaceAll('-', '').padEnd(32, '0')
  const seconds = Math.floor(nowMs / 1000)
    .toString(16)
    .padStart(8, '0')
  return `Root=1-${seconds}-${chance.slice(0, 24)};Parent=${chance.slice(16, 32)};Sampled=0`
}
