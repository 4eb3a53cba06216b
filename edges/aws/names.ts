/**
 * What a function may be called in a request, and what it is called in answers.
 *
 *     name · name:qualifier · function:name · account:function:name · full ARN, each with or without a qualifier
 *
 * Source: lambda-semantics.md §1.1 (patterns, echoed in AWS's own texts), §1.8 and Appendix A (errors); recorded in
 * LocalStack's test_function_name_and_qualifier_validation, test_function_arns, test_ops_with_arn_qualifier_mismatch.
 */
import { type Refusal, refuse } from './errors.ts'
import {
  atLeastLong,
  atMostLong,
  patternConstraint,
  validationFailure,
  validationSentence,
} from './validation-texts.ts'

/** Where we are: the region and account that ARNs have to name. */
export type Place = { region: string; account: string }

export type FunctionName = { name: string; qualifier: string | undefined }

type NameRule = { pattern: string; matches: RegExp; mostCharacters: number }

const whole = (pattern: string) => new RegExp(`^(?:${pattern})$`)
const rule = (pattern: string, mostCharacters: number): NameRule => ({
  pattern,
  matches: whole(pattern),
  mostCharacters,
})

// Three shapes of the service model, spelled as AWS spells them in its answers: `NamespacedFunctionName`, for everything
// that reads or invokes, `FunctionName`, for what creates and updates, and `UnqualifiedFunctionName`.
const locator = String.raw`(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?`
const reading = rule(
  `${locator}${String.raw`([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?`}`,
  256,
)
const writing = rule(`${locator}${String.raw`([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?`}`, 140)
const unqualified = rule(`${locator}([a-zA-Z0-9-_]+)`, 140)
const qualifierRule = rule(String.raw`\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+`, 128)

const rules: Record<string, NameRule> = {
  CreateFunction: writing,
  UpdateFunctionCode: writing,
  UpdateFunctionConfiguration: writing,
  PutFunctionConcurrency: writing,
  GetFunctionConcurrency: writing,
  DeleteFunctionConcurrency: writing,
  PutFunctionRecursionConfig: unqualified,
  GetFunctionRecursionConfig: unqualified,
}

const plainName = /^[a-zA-Z0-9-_]{1,64}$/
const parts =
  /^(?:arn:(?:aws[a-zA-Z-]*)?:lambda:)?(?:((?:eusc-)?[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-\d):)?(?:(\d{12}):)?(?:function:)?([a-zA-Z0-9-_.]+)(?::([a-zA-Z0-9-_$.]+))?$/

/** The longest name that CreateFunction takes: Lambda API, CreateFunction, "limited to 64 characters in length". */
const nameLimitCharacters = 64

/** Whether a function of that name can exist at all: the reading pattern also takes dots and longer names. */
export const canExist = (name: string): boolean => plainName.test(name)

/**
 * The plain name and the qualifier that a request means, or AWS's refusal. `qualifier` is the `Qualifier` parameter;
 * `operation` decides which of AWS's patterns holds. A name that parses need not be one that `canExist`.
 */
export function parseFunctionName(
  text: string,
  qualifier: string | undefined,
  where: Place & { operation: string },
): FunctionName | Refusal {
  if (qualifier === undefined && plainName.test(text)) return { name: text, qualifier }
  const complaints = [
    ...complaintsOfName(text, where.operation),
    ...complaintsOfQualifier(qualifier),
  ]
  if (complaints.length > 0) return validationFailure(complaints)
  const [, region, account, name = '', ownQualifier] = parts.exec(text) ?? []
  if (region !== undefined && region !== where.region) {
    return refuse(
      'ResourceNotFoundException',
      `Functions from '${region}' are not reachable in this region ('${where.region}')`,
    )
  }
  if (account !== undefined && account !== where.account) {
    return accessDenied(where, { region: where.region, account }, name)
  }
  if (where.operation === 'CreateFunction' && name.length > nameLimitCharacters) {
    const tooLong = atMostLong(name, 'functionName', nameLimitCharacters)
    return refuse('InvalidParameterValueException', validationSentence([tooLong]))
  }
  if (ownQualifier !== undefined && qualifier !== undefined && ownQualifier !== qualifier) {
    return refuse(
      'InvalidParameterValueException',
      'The derived qualifier from the function name does not match the specified qualifier.',
    )
  }
  return { name, qualifier: ownQualifier ?? qualifier }
}

/** What the service model has against a name, whatever it names. */
export function complaintsOfName(text: string, operation: string): string[] {
  const { pattern, matches, mostCharacters } = rules[operation] ?? reading
  const complaints: string[] = []
  if (text.length < 1) complaints.push(atLeastLong(text, 'functionName', 1))
  if (text.length > mostCharacters) {
    complaints.push(atMostLong(text, 'functionName', mostCharacters))
  }
  if (!matches.test(text)) complaints.push(patternConstraint(text, 'functionName', pattern))
  return complaints
}

/** What the service model has against a `Qualifier` parameter. */
export function complaintsOfQualifier(qualifier: string | undefined): string[] {
  if (qualifier === undefined) return []
  const { pattern, matches, mostCharacters } = qualifierRule
  const complaints: string[] = []
  if (qualifier.length < 1) complaints.push(atLeastLong(qualifier, 'qualifier', 1))
  if (qualifier.length > mostCharacters) {
    complaints.push(atMostLong(qualifier, 'qualifier', mostCharacters))
  }
  if (!matches.test(qualifier)) {
    complaints.push(patternConstraint(qualifier, 'qualifier', pattern))
  }
  return complaints
}

// CreateFunction was recorded with no sentence at all; the others say what IAM's own guide quotes.
function accessDenied(where: Place & { operation: string }, there: Place, name: string): Refusal {
  const action = where.operation === 'Invoke' ? 'InvokeFunction' : where.operation
  return refuse(
    'AccessDeniedException',
    where.operation === 'CreateFunction'
      ? null
      : `User: arn:${partition(where.region)}:iam::${where.account}:root is not authorized to perform: lambda:${action} on resource: ${functionArn(there, name)} because no resource-based policy allows the lambda:${action} action`,
  )
}

/** Source: AWS General Reference, "Partitions": China and GovCloud have their own. */
export function partition(region: string): string {
  if (region.startsWith('cn-')) return 'aws-cn'
  return region.startsWith('us-gov-') ? 'aws-us-gov' : 'aws'
}

/** `arn:aws:lambda:<region>:<account>:function:<name>[:<qualifier>]`. */
export function functionArn(where: Place, name: string, qualifier?: string): string {
  const arn = `arn:${partition(where.region)}:lambda:${where.region}:${where.account}:function:${name}`
  return qualifier === undefined ? arn : `${arn}:${qualifier}`
}

/** What may be said of a whole function only. Recorded: test_function_concurrency_exceptions. */
export const functionsOnly = (): Refusal =>
  refuse(
    'InvalidParameterValueException',
    'This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please specify either a function name or an unqualified function ARN.',
  )

/**
 * 404 as each operation says it: Invoke without a qualifier names `:$LATEST`, the control operations the bare ARN;
 * pass the qualifier to be shown. Source: lambda-semantics.md §1.8.
 */
export const functionNotFound = (where: Place, name: string, qualifier?: string): Refusal =>
  refuse('ResourceNotFoundException', `Function not found: ${functionArn(where, name, qualifier)}`)
