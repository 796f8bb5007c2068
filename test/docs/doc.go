// Package docs holds the pages against the code: links lead somewhere, commands have
// the flags that they are shown with, examples are what the kinds have, and whatever
// the API can say is explained. Package commands beside it runs what pages tell to run.
package docs
