/**
 * A function as people name it on the command line, in AWS's forms: `name`, `name:qualifier`, `account:function:name`,
 * or an ARN. Source: Lambda API, Invoke, FunctionName.
 */

export type FunctionName = { name: string; qualifier: string | undefined }

/** Splits off the qualifier. What is malformed is left as it is: the server says what is wrong with it. */
export function splitFunctionName(text: string): FunctionName {
  const parts = text.split(':')
  // name:qualifier
  if (parts.length === 2) return { name: parts[0] ?? text, qualifier: parts[1] }
  // arn:aws:lambda:region:account:function:name[:qualifier], and the same without what stands before the account
  const at = parts.indexOf('function')
  if (at >= 0 && parts.length === at + 3) {
    return { name: parts.slice(0, -1).join(':'), qualifier: parts.at(-1) }
  }
  return { name: text, qualifier: undefined }
}

/** The last part: what a subject or a message calls it. */
export function plainName(text: string): string {
  const { name } = splitFunctionName(text)
  return name.split(':').at(-1) ?? name
}
