import { echoSuite } from '../../support/envoy/echo/suite.ts';
import { actionCases } from './action-cases.ts';
import { matchCases } from './match-cases.ts';

echoSuite('fields of a VirtualService', [...matchCases, ...actionCases]);
