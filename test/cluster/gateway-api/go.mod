// The definitions of the Gateway API's standard channel, which are the user's to install, for the test cluster.
module ambit.dev/test/gateway-api

go 1.24.0

require sigs.k8s.io/gateway-api v1.5.1
