//go:build suites

// Libraries whose own tests are run against Tenet: named here, so that their versions are locked with all they need.
package main

import _ "github.com/guregu/dynamo/v2"
