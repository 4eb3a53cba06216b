/**
 * The operations on tags. Only functions have tags here.
 *
 * Source: lambda-semantics.md, Appendix A; LocalStack's TestLambdaTags and TestLambdaTag, recorded on AWS.
 */
import { checkInput, type Input } from '../edges/aws/constraints.ts'
import { isRefusal, type Refusal, refuse } from '../edges/aws/errors.ts'
import { checkTags } from '../edges/aws/function-requests.ts'
import { shapes } from '../edges/aws/function-shapes.ts'
import { canExist, functionNotFound, parseFunctionName } from '../edges/aws/names.ts'
import { refuseUnhonoured } from '../edges/aws/unhonoured.ts'
import { patternConstraint } from '../edges/aws/validation-texts.ts'
import type { ApiBinding, ApiHandler, Told } from './api.ts'
import { changesTo } from './api-changes.ts'
import type { FunctionCommand } from './function.ts'

type Operation = 'ListTags' | 'TagResource' | 'UntagResource'

const invalid = (sentence: string) => refuse('InvalidParameterValueException', sentence)

/** As AWS echoes it: `TaggableResource` of the service model. */
const taggable = String.raw`arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|capacity-provider:[a-zA-Z0-9-_]+)`
const taggablePattern = new RegExp(`^${taggable}$`)

export function tagOperations(binding: ApiBinding): Record<Operation, ApiHandler> {
  const { functions } = binding
  const { stamp, change } = changesTo(binding)

  const changed = async (name: string, command: FunctionCommand): Promise<Told> => {
    const { revision } = await change(name, command)
    return { revision }
  }

  const find = async (name: string) => (canExist(name) ? functions.read(name) : undefined)

  return {
    async ListTags(input) {
      const name = readResource('ListTags', input, binding)
      if (isRefusal(name)) return name
      const held = await find(name)
      return held === undefined
        ? functionNotFound(binding, name)
        : { body: { Tags: held.value.tags }, revision: held.revision }
    },

    async TagResource(input) {
      const name = readResource('TagResource', input, binding)
      if (isRefusal(name)) return name
      const tags = input['Tags'] as Record<string, string>
      // Recorded: test_tag_exceptions, tag_empty_tags.
      if (Object.keys(tags).length === 0) {
        return invalid('An error occurred and the request cannot be processed.')
      }
      const held = await find(name)
      if (held === undefined) return functionNotFound(binding, name)
      const bad = checkTags(tags) ?? checkTags({ ...held.value.tags, ...tags })
      return bad ?? changed(name, { type: 'tag', tags, ...stamp() })
    },

    async UntagResource(input) {
      const name = readResource('UntagResource', input, binding)
      if (isRefusal(name)) return name
      if ((await find(name)) === undefined) return functionNotFound(binding, name)
      return changed(name, { type: 'untag', keys: input['TagKeys'] as string[], ...stamp() })
    },
  }
}

/** The function whose tags are meant. */
function readResource(operation: Operation, input: Input, binding: ApiBinding): string | Refusal {
  const shape = shapes[operation]
  const given = input['Resource']
  const isBad = typeof given === 'string' && !taggablePattern.test(given)
  const complaints = isBad ? [patternConstraint(given, 'resource', taggable)] : []
  const bad = checkInput(shape, input, complaints) ?? refuseUnhonoured(input, shape.members, '')
  if (bad !== undefined) return bad
  const resource = String(given)
  const kind = resource.split(':')[5]
  if (kind !== 'function') return notFoundAs(kind, resource)
  const { region, account } = binding
  const parsed = parseFunctionName(resource, undefined, { region, account, operation })
  if (isRefusal(parsed)) return parsed
  return parsed.qualifier === undefined
    ? parsed.name
    : invalid(
        'Tags on function aliases and versions are not supported. Please specify a function ARN.',
      )
}

/** Nothing of those kinds is ever there. */
function notFoundAs(kind: string | undefined, resource: string): Refusal {
  const named: Record<string, string> = {
    'event-source-mapping': 'Event source mapping',
    'capacity-provider': 'Capacity provider',
    layer: 'Layer',
    'code-signing-config': 'Code signing config',
  }
  return refuse(
    'ResourceNotFoundException',
    `${named[kind ?? ''] ?? 'Resource'} not found: ${resource}`,
  )
}
