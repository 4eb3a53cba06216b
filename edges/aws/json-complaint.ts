/**
 * What Jackson, AWS's JSON parser, has to say about bytes that are not JSON in UTF-8.
 *
 * The fast path asks V8, which is right about whether; only when it says no does the scanner here look for where and why,
 * in Jackson's words. Columns count bytes from 1: a character that cannot stand where it stands is named by its own column,
 * everything else by the column after what was read. Source: lambda-semantics.md §1.4 (recorded texts and columns) and
 * the messages of Jackson 2.18.
 */
import { isUtf8 } from 'node:buffer'
import { Cursor, described, Fault } from './json-cursor.ts'

const decoder = new TextDecoder()

/** `undefined`: it is JSON. Otherwise the sentence and the place, as they stand after `Could not parse payload into json: `. */
export function jsonComplaint(bytes: Uint8Array): string | undefined {
  return isUtf8(bytes) && isJson(bytes) ? undefined : describeFirstFault(bytes)
}

function isJson(bytes: Uint8Array): boolean {
  try {
    JSON.parse(decoder.decode(bytes))
    // A decoder drops a byte order mark; to a JSON parser it is a character like any other, and a wrong one.
    return bytes[0] !== 0xef || bytes[1] !== 0xbb || bytes[2] !== 0xbf
  } catch {
    return false
  }
}

const values = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
type Scope = { kind: 'root' | 'Object' | 'Array'; opened: string }

function describeFirstFault(bytes: Uint8Array): string {
  try {
    scan(new Cursor(bytes))
  } catch (fault) {
    if (fault instanceof Fault) return fault.message
    throw fault
  }
  throw new Error('V8 refuses this JSON and the scanner finds no fault in it')
}

const quote = 0x22
const [openObject, closeObject, openArray, closeArray] = [0x7b, 0x7d, 0x5b, 0x5d]
const [comma, colon, minus, backslash, point] = [0x2c, 0x3a, 0x2d, 0x5c, 0x2e]
const isDigit = (byte: number) => byte >= 0x30 && byte <= 0x39
const isHexDigit = (byte: number) => /[0-9a-fA-F]/.test(String.fromCharCode(byte))
const isWordStart = (code: number) => /[\p{L}\p{Nl}\p{Sc}\p{Pc}]/u.test(String.fromCodePoint(code))
const isWordPart = (code: number) =>
  isWordStart(code) || /[\p{Nd}\p{Mn}\p{Mc}]/u.test(String.fromCodePoint(code))

/** Iterative, because the nesting of what strangers send is theirs to choose. */
function scan(cursor: Cursor): void {
  const scopes: Scope[] = [{ kind: 'root', opened: '' }]
  let filled = false
  for (let tokens = 0; ; tokens++) {
    const scope = scopes.at(-1) as Scope
    cursor.skipSpace()
    if (cursor.ended) {
      if (scope.kind === 'root' && tokens > 0) return
      throw endOfInput(cursor, scope)
    }
    const opened = cursor.place()
    let byte = cursor.next()
    if (byte === closeObject || byte === closeArray) {
      const closes = byte === closeObject ? 'Object' : 'Array'
      if (scope.kind !== closes) throw mismatched(cursor, byte, scope)
      scopes.pop()
      filled = true
      continue
    }
    if (scope.kind !== 'root' && filled) {
      if (byte !== comma) {
        throw cursor.unexpected(byte, `: was expecting comma to separate ${scope.kind} entries`)
      }
      byte = nextOf(cursor, scope)
    }
    if (scope.kind === 'root' && tokens > 0) throw trailing(cursor)
    if (scope.kind === 'Object') {
      fieldName(cursor, byte)
      byte = nextOf(cursor, scope)
      if (byte !== colon) {
        throw cursor.unexpected(byte, ': was expecting a colon to separate field name and value')
      }
      byte = nextOf(cursor, scope)
    }
    filled = byte !== openObject && byte !== openArray
    if (byte === openObject) scopes.push({ kind: 'Object', opened })
    else if (byte === openArray) scopes.push({ kind: 'Array', opened })
    else scalar(cursor, byte, scope)
  }
}

const endOfInput = (cursor: Cursor, scope: Scope): Fault =>
  cursor.fault(
    scope.kind === 'root'
      ? 'No content to map due to end-of-input'
      : `Unexpected end-of-input: expected close marker for ${scope.kind} (start marker at ${scope.opened})`,
  )

function mismatched(cursor: Cursor, byte: number, scope: Scope): Fault {
  if (scope.kind === 'root') return cursor.unexpected(byte, `: expected a valid value ${values}`)
  const expected = scope.kind === 'Object' ? '}' : ']'
  return cursor.fault(
    `Unexpected close marker '${String.fromCharCode(byte)}': expected '${expected}' (for ${scope.kind} starting at ${scope.opened})`,
  )
}

const trailing = (cursor: Cursor) =>
  cursor.fault(
    'Trailing token found after value: not allowed as per `DeserializationFeature.FAIL_ON_TRAILING_TOKENS`',
  )

function nextOf(cursor: Cursor, scope: Scope): number {
  cursor.skipSpace()
  if (cursor.ended) {
    throw cursor.fault(`Unexpected end-of-input within/between ${scope.kind} entries`)
  }
  return cursor.next()
}

function fieldName(cursor: Cursor, byte: number): void {
  if (byte !== quote) {
    const code = decoded(cursor, byte)
    throw cursor.unexpected(code, ': was expecting double-quote to start field name')
  }
  string(cursor, 'name')
}

const words: Record<number, string> = { 110: 'null', 116: 'true', 102: 'false' }

function scalar(cursor: Cursor, byte: number, scope: Scope): void {
  const word = words[byte]
  if (byte === quote) string(cursor, 'string value')
  else if (byte === minus || isDigit(byte)) number(cursor, byte, scope)
  else if (word !== undefined) token(cursor, word)
  else throw notAValue(cursor, byte)
}

function notAValue(cursor: Cursor, byte: number): Fault {
  if (byte === closeObject || byte === closeArray || byte === comma) {
    return cursor.unexpected(byte, ': expected a value')
  }
  // Jackson looks at the byte, not at the character that it begins.
  return isWordStart(byte)
    ? unrecognized(cursor, String.fromCharCode(byte))
    : cursor.unexpected(byte, `: expected a valid value ${values}`)
}

function token(cursor: Cursor, word: string): void {
  for (let matched = 1; matched < word.length; matched++) {
    if (cursor.peek() !== word.charCodeAt(matched)) {
      throw unrecognized(cursor, word.slice(0, matched))
    }
    cursor.at++
  }
  if (!cursor.ended && isWordPart(cursor.peek())) throw unrecognized(cursor, word)
}

/** Jackson shows at most 256 characters of what it does not recognize. */
function unrecognized(cursor: Cursor, begun: string): Fault {
  let text = begun
  while (!cursor.ended && text.length < 256) {
    const code = decoded(cursor, cursor.next())
    if (!isWordPart(code)) break
    text += String.fromCodePoint(code)
  }
  return cursor.fault(`Unrecognized token '${text}': was expecting ${values}`)
}

function string(cursor: Cursor, what: 'name' | 'string value'): void {
  for (;;) {
    if (cursor.ended) {
      const where = what === 'name' ? 'field name' : 'VALUE_STRING'
      throw cursor.fault(`Unexpected end-of-input in ${where}`)
    }
    const byte = cursor.next()
    if (byte === quote) return
    if (byte === backslash) escapeSequence(cursor)
    else if (byte < 0x20) {
      throw cursor.fault(
        `Illegal unquoted character (${described(byte)}): has to be escaped using backslash to be included in ${what}`,
      )
    } else decoded(cursor, byte)
  }
}

function escapeSequence(cursor: Cursor): void {
  if (cursor.ended) throw cursor.fault('Unexpected end-of-input in character escape sequence')
  const byte = cursor.next()
  if ('"\\/bfnrt'.includes(String.fromCharCode(byte))) return
  if (byte !== 0x75) {
    throw cursor.fault(`Unrecognized character escape ${described(decoded(cursor, byte))}`)
  }
  for (let digits = 0; digits < 4; digits++) {
    if (cursor.ended) throw cursor.fault('Unexpected end-of-input in character escape sequence')
    const digit = cursor.next()
    if (!isHexDigit(digit)) {
      throw cursor.unexpected(digit, ': expected a hex-digit for character escape sequence')
    }
  }
}

function number(cursor: Cursor, first: number, scope: Scope): void {
  let byte = first
  if (byte === minus) {
    byte = cursor.next()
    if (!isDigit(byte)) {
      throw badDigit(
        cursor,
        byte,
        'expected digit (0-9) to follow minus sign, for valid numeric value',
      )
    }
  }
  if (byte === 0x30 && isDigit(cursor.peek())) {
    throw cursor.fault('Invalid numeric value: Leading zeroes not allowed')
  }
  while (isDigit(cursor.peek())) cursor.at++
  if (cursor.peek() === point) {
    cursor.at++
    digits(cursor, 'Decimal point not followed by a digit')
  }
  if (cursor.peek() === 0x65 || cursor.peek() === 0x45) {
    cursor.at++
    if (cursor.peek() === 0x2b || cursor.peek() === minus) cursor.at++
    digits(cursor, 'Exponent indicator not followed by a digit')
  }
  if (scope.kind === 'root' && !cursor.ended && ![0x20, 0x09, 0x0a, 0x0d].includes(cursor.peek())) {
    throw cursor.unexpected(cursor.next(), ': Expected space separating root-level values')
  }
}

function digits(cursor: Cursor, why: string): void {
  if (!isDigit(cursor.peek())) throw badDigit(cursor, cursor.next(), why)
  while (isDigit(cursor.peek())) cursor.at++
}

const badDigit = (cursor: Cursor, byte: number, why: string): Fault =>
  byte === -1
    ? cursor.fault(`Unexpected end-of-input in numeric value: ${why}`)
    : cursor.unexpected(byte, ` in numeric value: ${why}`)

/** The character that begins with `byte`; throws Jackson's complaint where the bytes are not UTF-8. */
function decoded(cursor: Cursor, byte: number): number {
  if (byte < 0x80) return byte
  const [length, bits] =
    byte >= 0xc0 && byte < 0xe0
      ? [1, byte & 0x1f]
      : byte >= 0xe0 && byte < 0xf0
        ? [2, byte & 0x0f]
        : byte >= 0xf0 && byte < 0xf8
          ? [3, byte & 0x07]
          : [0, 0]
  if (length === 0) throw cursor.fault(`Invalid UTF-8 start byte 0x${byte.toString(16)}`)
  let code = bits
  for (let rest = 0; rest < length; rest++) {
    if (cursor.ended) throw cursor.fault('Unexpected end-of-input in a multi-byte character')
    const middle = cursor.next()
    if ((middle & 0xc0) !== 0x80) {
      throw cursor.fault(`Invalid UTF-8 middle byte 0x${middle.toString(16)}`)
    }
    code = (code << 6) | (middle & 0x3f)
  }
  const least = [0, 0x80, 0x800, 0x10000][length] ?? 0
  const isSurrogate = code >= 0xd800 && code <= 0xdfff
  if (code < least || isSurrogate || code > 0x10ffff) {
    throw cursor.fault(`Invalid UTF-8 start byte 0x${byte.toString(16)}`)
  }
  return code
}
