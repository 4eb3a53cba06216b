/**
 * The errors of Kinesis, in one flat table, beside Lambda's own because they are told in another way: JSON 1.1 (or CBOR) names
 * the shape in `__type`.
 *
 * Source: Kinesis Data Streams API reference, errors of each action; lambda-semantics.md §8.
 */
type KinesisErrorShape = { status: number; when: string }

export const kinesisErrors = {
  ResourceNotFoundException: {
    status: 400,
    when: 'No stream, shard or consumer of that name here.',
  },
  ResourceInUseException: {
    status: 400,
    when: 'The stream is there already, or in a state in which this cannot be done.',
  },
  InvalidArgumentException: { status: 400, when: 'A value that Kinesis refuses.' },
  LimitExceededException: { status: 400, when: 'More than there may be.' },
  ProvisionedThroughputExceededException: {
    status: 400,
    when: 'A shard takes no more at this moment, where shard limits are switched on.',
  },
  ExpiredIteratorException: { status: 400, when: 'The iterator is older than five minutes.' },
  ExpiredNextTokenException: { status: 400, when: 'The token is older than five minutes.' },
  ValidationException: { status: 400, when: "The input is not as AWS's model has it." },
  SerializationException: {
    status: 400,
    when: 'The body is neither JSON nor CBOR, or a member has the wrong type.',
  },
  UnknownOperationException: { status: 400, when: 'Kinesis has no such operation, or lambus not.' },
  AccessDeniedException: { status: 400, when: 'A path or protocol that Kinesis does not serve.' },
  MissingAuthenticationTokenException: { status: 400, when: 'The request is not signed.' },
  IncompleteSignatureException: { status: 400, when: 'The signature lacks a part.' },
  InvalidSignatureException: { status: 400, when: 'The signature is not the right one.' },
  UnrecognizedClientException: { status: 400, when: 'The access key is not ours.' },
  InternalFailure: { status: 500, when: 'Something of ours failed.' },
} as const satisfies Record<string, KinesisErrorShape>

export type KinesisErrorCode = keyof typeof kinesisErrors

export type KinesisRefusal = { refused: KinesisErrorCode; status: number; message: string }

export const refuseKinesis = (refused: KinesisErrorCode, message: string): KinesisRefusal => ({
  refused,
  status: kinesisErrors[refused].status,
  message,
})

export const isKinesisRefusal = (told: unknown): told is KinesisRefusal =>
  typeof told === 'object' && told !== null && 'refused' in told
