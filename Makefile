# parfocal: build, run, test.   make | run | test | bench | gpu-check | lint | install | clean
# SAN=address,undefined|thread builds with sanitizers in a directory of its own. V=1 shows commands.

SHELL   := /bin/bash
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
BUILD   := build$(if $(SAN),/san-$(subst $(comma),-,$(SAN)))
comma   := ,
Q       := $(if $(V),,@)

PACKAGES_LIBS := libevent_core libevent_pthreads libexif sqlite3 libjpeg libtiff-4 libpng jansson inih libxxhash
DEB_BUILD := build-essential pkg-config git libevent-dev libexif-dev libsqlite3-dev libjpeg62-turbo-dev \
             libtiff-dev libpng-dev libjansson-dev libinih-dev libxxhash-dev
DEB_TEST  := jq bindfs strace faketime fuse3 rsync openssh-client util-linux procps e2fsprogs

CC       ?= gcc
OPT      ?= -O2
WARN     := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wno-missing-field-initializers
PKG_CFLAGS = $(shell pkg-config --cflags $(PACKAGES_LIBS) 2>/dev/null)
PKG_LIBS   = $(shell pkg-config --libs $(PACKAGES_LIBS) 2>/dev/null)
override CFLAGS += -std=c11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -I. -g $(OPT) $(WARN) -pthread -fno-omit-frame-pointer \
          $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all) -DPF_VERSION='"$(VERSION)"'
override LDFLAGS += -pthread $(if $(SAN),-fsanitize=$(SAN))
