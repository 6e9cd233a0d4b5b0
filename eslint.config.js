import tseslint from 'typescript-eslint';

/**
 * The rooms from the ground up, those of one line side by side: each may know the rooms of earlier lines only.
 * (Design: cli, agent, control → xds, explain → ztunnel, derive, ca, wds, telemetry → config → model, timing; proto knows nobody.)
 */
const floors = [
  ['timing', 'proto'],
  ['model'],
  ['config'],
  ['telemetry', 'derive', 'ca', 'wds', 'kube', 'envoy'],
  ['ztunnel', 'process'],
  ['xds', 'explain'],
  ['agent', 'control'],
  ['install'],
  ['cli'],
];

/** Rooms of one floor that stand apart: neither knows the other. */
const strangers = {
  timing: ['proto'],
  proto: ['timing'],
  derive: ['wds', 'ca', 'telemetry', 'kube', 'envoy'],
  ca: ['wds', 'derive', 'telemetry', 'kube', 'envoy'],
  envoy: ['wds', 'derive', 'ca', 'telemetry', 'kube'],
  telemetry: ['wds', 'derive', 'ca', 'kube', 'envoy'],
  wds: ['derive', 'ca', 'telemetry', 'kube', 'envoy'],
  kube: ['derive', 'ca', 'telemetry', 'wds', 'envoy'],
  ztunnel: ['derive', 'ca', 'kube', 'envoy'],
  process: ['wds', 'ztunnel', 'derive', 'ca', 'kube'],
  xds: ['derive', 'ca', 'process', 'kube', 'explain'],
  explain: ['derive', 'ca', 'xds', 'wds', 'telemetry', 'kube'],
  control: ['agent', 'xds'],
  agent: ['control'],
};

/** The engine is for the agent; the decisions share its words, and the command line loads it. */
const knowTheEngine = ['ztunnel', 'explain', 'agent', 'cli'];

const above = (room) => floors.slice(floors.findIndex((floor) => floor.includes(room)) + 1).flat();
const rooms = Object.fromEntries(
  floors
    .flat()
    .map((room) => [
      room,
      [...above(room), ...(strangers[room] ?? []), ...(knowTheEngine.includes(room) ? [] : ['native'])],
    ]),
);

export default tseslint.config(
  { ignores: ['dist', 'build', 'native/target', 'node_modules', '*.config.js', 'src/proto/gen'] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      'max-lines': ['error', { max: 450, skipBlankLines: true, skipComments: true }],
      'max-lines-per-function': ['error', { max: 80, skipBlankLines: true, skipComments: true }],
      'no-restricted-syntax': [
        'error',
        { selector: 'ExportDefaultDeclaration', message: 'Exports are named: one name for one thing everywhere.' },
      ],
    },
  },
  ...Object.entries(rooms)
    .filter(([, forbidden]) => forbidden.length > 0)
    .map(([room, forbidden]) => ({
      files: [`src/${room}/**/*.ts`],
      rules: {
        'no-restricted-imports': [
          'error',
          {
            patterns: [
              {
                // Generated messages lie by their packages, some of which are called as rooms are.
                group: [...forbidden.map((name) => `**/${name}/**`), '!**/proto/gen/**'],
                message: `${room} may not know of the rooms above it.`,
              },
            ],
          },
        ],
      },
    })),
  {
    // node:test's own promises are awaited by the runner; a whole suite may be longer than a function should be.
    files: ['test/**/*.ts', 'bench/**/*.ts'],
    rules: {
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            { from: 'package', package: 'node:test', name: ['test', 'it', 'describe', 'suite'] },
          ],
        },
      ],
      'max-lines-per-function': 'off',
    },
  },
);
