/** Spellings that must never reach a system call. */

const texts: readonly string[] = [
  // climbing
  '..',
  '../',
  '../x',
  '/..',
  '/../x',
  'a/..',
  'a/../..',
  'a/../../etc/passwd',
  'a/b/../../../x',
  '../../../../../../../../etc/passwd',
  './..',
  '../.',
  // standing still
  '.',
  './',
  './a',
  '/.',
  'a/.',
  'a/./b',
  // nothing between slashes
  '//',
  '///',
  '//etc/passwd',
  'a//b',
  'a/',
  'a/b/',
  '/a/',
  'a///b',
  // climbing behind names with the other system's separator, which is none
  'a\\b/..',
  '../a\\b',
  '\\/./\\',
  '\\//host/share',
  'C:\\/../x',
  '..\\/..',
  '.\\../.',
  // the end that only C sees
  '\0',
  'a\0',
  'a\0/../b',
  '..\0',
  'a/b\0.txt',
  // too long, too deep
  'n'.repeat(256),
  `a/${'n'.repeat(300)}/b`,
  'n/'.repeat(2100) + 'n',
  Array(513).fill('d').join('/'),
  `/${Array(513).fill('d').join('/')}`,
  'é'.repeat(128),
]

/** At least 40 of them, as bytes. */
export const hostilePaths: readonly Uint8Array[] = [
  ...texts.map((text) => new TextEncoder().encode(text)),
  Uint8Array.of(0xff, 0x2f, 0x2e, 0x2e),
  Uint8Array.of(0x2e, 0x2e, 0x2f, 0xff),
]
