import tseslint from 'typescript-eslint';

/** One way only (design: cli, agent, control → xds → ztunnel, derive, ca, wds, telemetry → config → model, timing; proto knows nobody). */
const rooms = {
  timing: [
    'proto',
    'model',
    'config',
    'wds',
    'ztunnel',
    'derive',
    'ca',
    'telemetry',
    'xds',
    'agent',
    'control',
    'cli',
    'native',
    'process',
  ],
  proto: ['model', 'config', 'wds', 'ztunnel', 'derive', 'ca', 'telemetry', 'xds', 'agent', 'control', 'cli', 'native'],
  model: [
    'timing',
    'proto',
    'config',
    'wds',
    'ztunnel',
    'derive',
    'ca',
    'telemetry',
    'xds',
    'agent',
    'control',
    'cli',
    'native',
  ],
  config: ['proto', 'wds', 'ztunnel', 'derive', 'ca', 'telemetry', 'xds', 'agent', 'control', 'cli', 'native'],
  wds: ['config', 'ztunnel', 'derive', 'ca', 'telemetry', 'xds', 'agent', 'control', 'cli', 'native'],
  ztunnel: ['derive', 'ca', 'xds', 'agent', 'control', 'cli'],
  derive: ['wds', 'ztunnel', 'ca', 'telemetry', 'xds', 'agent', 'control', 'cli', 'native'],
  ca: ['wds', 'ztunnel', 'derive', 'telemetry', 'xds', 'agent', 'control', 'cli', 'native'],
  telemetry: ['wds', 'ztunnel', 'derive', 'ca', 'xds', 'agent', 'control', 'cli', 'native'],
  process: ['wds', 'ztunnel', 'derive', 'ca', 'xds', 'agent', 'control', 'cli', 'native'],
  xds: ['derive', 'ca', 'process', 'agent', 'control', 'cli', 'native'],
  control: ['xds', 'agent', 'cli', 'native'],
  agent: ['control', 'cli'],
};

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
  ...Object.entries(rooms).map(([room, above]) => ({
    files: [`src/${room}/**/*.ts`],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            { group: above.map((name) => `**/${name}/**`), message: `${room} may not know of the rooms above it.` },
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
