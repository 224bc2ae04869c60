// Package ecs finds nothing: the AWS client libraries would take more of the build than all the rest.
package ecs

import (
	"github.com/traefik/traefik/v3/pkg/config/dynamic"
	"github.com/traefik/traefik/v3/pkg/safe"
)

// ProviderName is what the static configuration knows it by.
const ProviderName = "ecs"

type Provider struct{}

func (p *Provider) SetDefaults() {}

func (p *Provider) Init() error { return nil }

func (p *Provider) Provide(chan<- dynamic.Message, *safe.Pool) error { return nil }
