/**
 * The other APIs of AWS that tools may ask this port for: each gets the unknown-operation error of its own protocol, so
 * that its SDK says what is the matter instead of failing to parse.
 *
 * Source: Smithy specification, "AWS JSON 1.0/1.1 protocol" and "AWS query protocol" (operation error serialization).
 */

/** An answer in a protocol that is not Lambda's. */
export type ForeignAnswer = { status: number; contentType: string; errorType: string; body: string }

/**
 * The answer to a request of the JSON protocols (by its `X-Amz-Target` header) or of the Query protocol (by its `Action`,
 * in the query or in a form); `undefined` for anything else.
 */
export function answerOtherApi(request: {
  target: string | undefined
  contentType: string | undefined
  query: string
  body: Uint8Array
  requestId: string
}): ForeignAnswer | undefined {
  if (request.target !== undefined) return jsonAnswer(request.target, request.contentType)
  const isForm = request.contentType?.startsWith('application/x-www-form-urlencoded') === true
  const form = isForm ? Buffer.from(request.body).toString('latin1') : request.query
  const action = new URLSearchParams(form.slice(0, 65_536)).get('Action')
  return action === null ? undefined : queryAnswer(action, request.requestId)
}

const jsonAnswer = (target: string, contentType: string | undefined): ForeignAnswer => ({
  status: 400,
  contentType: contentType?.startsWith('application/x-amz-json-1.0')
    ? 'application/x-amz-json-1.0'
    : 'application/x-amz-json-1.1',
  errorType: 'UnknownOperationException',
  body: JSON.stringify({
    __type: 'com.amazon.coral.service#UnknownOperationException',
    message: `lambus does not implement the operation ${target} yet.`,
  }),
})

const queryAnswer = (action: string, requestId: string): ForeignAnswer => ({
  status: 400,
  contentType: 'text/xml',
  errorType: 'InvalidAction',
  body: `<?xml version="1.0"?><ErrorResponse xmlns="http://queue.amazonaws.com/doc/2012-11-05/"><Error><Type>Sender</Type><Code>InvalidAction</Code><Message>The action ${escaped(action)} is not valid for this endpoint.</Message><Detail/></Error><RequestId>${escaped(requestId)}</RequestId></ErrorResponse>`,
})

const entities: Record<string, string> = { '<': '&lt;', '>': '&gt;', '&': '&amp;', '"': '&quot;' }
const escaped = (text: string) =>
  text
    // Control characters cannot stand in XML 1.0 at all.
    .replaceAll(/\p{Cc}/gu, '')
    .replaceAll(/[<>&"]/g, (character) => entities[character] ?? '')
