/**
 * What can go wrong between us and NATS, by a code that does not change. Errors of nats.js become these where they
 * enter; nobody behind the bus matches their texts.
 */
export type BusErrorCode =
  /** No server at any of the addresses. */
  | 'BUS_NO_SERVER'
  /** There is a server and it does not let us in. */
  | 'BUS_CREDENTIALS_REFUSED'
  /** An address that is not `nats://host:port`. */
  | 'BUS_BAD_ADDRESS'
  /** The bus was closed by us, or the server's refusal ended it. */
  | 'BUS_CLOSED'
  /** Larger than the server's max_payload. */
  | 'BUS_PAYLOAD_TOO_LARGE'
  /** A subject that NATS does not take. */
  | 'BUS_BAD_SUBJECT'
  /** JetStream did not answer, or not in a way that says what happened. */
  | 'BUS_STORE_UNAVAILABLE'
  /** A lease shorter than what NATS can let expire. */
  | 'BUS_LEASE_TOO_SHORT'
  /** A stream has settings that break what we promise with it, and they cannot be changed. */
  | 'BUS_STREAM_UNFIT'
  /** What is stored under a key is not what we write there. */
  | 'BUS_DOCUMENT_UNREADABLE'
  /** What is stored under a digest has another digest. */
  | 'BUS_DIGEST_MISMATCH'

export class BusError extends Error {
  override readonly name = 'BusError'
  readonly code: BusErrorCode

  constructor(code: BusErrorCode, text: string, cause?: unknown) {
    super(text, cause === undefined ? undefined : { cause })
    this.code = code
  }
}
